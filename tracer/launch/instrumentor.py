"""The tracer as one of OpenTelemetry's instrumentors: `opentelemetry-instrument` finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from tracer.launch.setup import install, uninstall

if TYPE_CHECKING:
    from collections.abc import Collection


class TracerInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # it has no annotations
    """Installs the tracer; with neither TRACER_RECORD nor an agent that does nothing."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what has to be installed for this to make sense."""
        return ("django >= 4.2",)

    def _instrument(self, **_: Any) -> None:
        install()

    def _uninstrument(self, **_: Any) -> None:
        uninstall()
