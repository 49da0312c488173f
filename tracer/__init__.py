"""See where each microsecond of a Django request goes. Importing this patches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracer.launch.setup import install, uninstall, wrap

__all__ = ["__version__", "install", "uninstall", "wrap"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what a name needs when it is first asked for: `import tracer` stays light."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from tracer.launch import setup  # noqa: PLC0415

    return getattr(setup, name)
