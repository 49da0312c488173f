"""Run by Python at start, in every process under `tracer run`: do next to nothing.

Nothing of ours is imported before a server is about to serve: a migration or a shell
imports Django too. Then the user's own `sitecustomize`, which this one hides, is run as
if this one weren't here.
"""

from __future__ import annotations

import _frozen_importlib
import sys
from _frozen_importlib_external import PathFinder  # `importlib.util` costs 2 ms

TYPE_CHECKING = False  # and so does `typing`
if TYPE_CHECKING:
    from typing import Any

_HERE = __file__.rpartition("/")[0]
_PACKAGE_HOME = _HERE.rpartition("/tracer/")[0]

# What only a process that serves imports: before its application, and before any seam of its own.
_SERVERS = {
    "gunicorn.util",
    "gunicorn.workers",
    "uvicorn.protocols",
    "django.core.management.commands.runserver",
}
# Logging settings name classes of uvicorn's: only who makes a `Config` is about to serve.
_IMPORTED_BY_OTHERS_TOO = "uvicorn.main"


class _Finder:
    """Finds the tracer, and installs it when the first module of a server is looked for."""

    @classmethod
    def find_spec(
        cls, name: str, _path: object = None, _target: object = None
    ) -> _frozen_importlib.ModuleSpec | None:
        if name == "tracer":
            return PathFinder.find_spec(name, [_PACKAGE_HOME])
        if name == _IMPORTED_BY_OTHERS_TOO:
            _install_with_first(getattr(sys.modules.get("uvicorn.config"), "Config", None))
        if name not in _SERVERS:
            return None
        _install_once()
        from importlib.util import find_spec  # noqa: PLC0415

        # The search that called this won't come back to who began to watch only now.
        return find_spec(name)


def _install_with_first(kind: Any) -> None:
    if kind is None or not _SERVERS:
        return
    made = kind.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        kind.__init__ = made
        _install_once()
        made(self, *args, **kwargs)

    __init__.__wrapped__ = made  # type: ignore[attr-defined]
    kind.__init__ = __init__


def _install_once() -> None:
    if not _SERVERS:
        return
    _SERVERS.clear()
    try:
        _install()
    except Exception as error:  # noqa: BLE001 - the program starts as without us
        sys.stderr.write(f"tracer: not installed: {error!r}\n")


def _install() -> None:
    """Install, and take up what was built already: `uvicorn.run(application)` in a script."""
    from tracer.launch.setup import install, wrap  # noqa: PLC0415

    base = sys.modules.get("django.core.handlers.base")
    if install() is None or base is None:
        return
    import gc  # noqa: PLC0415

    for one in gc.get_objects():
        if issubclass(type(one), base.BaseHandler):
            wrap(one)


def _run_hidden() -> None:
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = _frozen_importlib.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


# Left on the path, our folder would be looked through at every import of the program's.
sys.path[:] = [entry for entry in sys.path if entry != _HERE]
sys.meta_path.insert(0, _Finder)
_run_hidden()
