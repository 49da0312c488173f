"""Switch tracing on in this process: by hand, around an application, or by `tracer run`."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tracer.clock import boot_id, wall_offset_ns
from tracer.hooks import ImportWatcher
from tracer.recorder import Recorder, Sink, installed, process_description, set_installed
from tracer.ring import RingWriter
from tracer.seams import Installation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.seams import Probe

RING_DIRECTORY: Final = "TRACER_RING_DIRECTORY"
SAMPLE: Final = "TRACER_SAMPLE"
RECORD_PATHS: Final = "TRACER_RECORD_PATHS"

_DISTRIBUTIONS: Final = ("django", "asgiref", "djangorestframework")
_SERVERS: Final = ("uvicorn", "gunicorn", "uvloop", "httptools", "h11", "uvicorn-worker")

_CHAIN: Final = "django:middleware chain"
_logger = logging.getLogger("tracer")
_App = TypeVar("_App")
_uninstall: list[Callable[[], None]] = []


def install(sink: Sink | None = None, probes: tuple[Probe, ...] | None = None) -> Recorder | None:
    """Stand in for all known seams, those imported and those still to be; idempotent.

    Without a sink it records into the ring directory that `tracer run` or
    `tracer compare` announced; where there is none, nothing is installed and the
    answer is None.
    """
    recorder = installed()
    if recorder is not None:
        return recorder
    if sink is None:
        directory = os.environ.get(RING_DIRECTORY)
        if not directory or not Path(directory).is_dir():
            return None
        sink = RingWriter(Path(directory))
    if probes is None:
        from tracer.probes import all_probes  # noqa: PLC0415 - one floor up, when needed

        probes = all_probes()
    recorder = Recorder(
        sink,
        sample=_rate(os.environ.get(SAMPLE)),
        record_paths=os.environ.get(RECORD_PATHS) == "1",
    )
    set_installed(recorder)
    installation = Installation(recorder, probes)
    recorder.describe = lambda: _describe(recorder, installation)
    watcher = ImportWatcher(installation.modules(), installation.module_imported)
    _uninstall.extend([watcher.install(), installation.stop])
    installation.start()
    return recorder


def uninstall() -> None:
    """Put every original back and forget the recorder."""
    while _uninstall:
        _uninstall.pop()()
    set_installed(None)


def wrap(application: _App) -> _App:
    """Trace a built ASGI or WSGI application; returns the same application.

    The middleware chain that Django has built is instrumented in place; what can't
    be reached is named in `seams_absent`. Without an agent to take what is recorded
    this does nothing.
    """
    try:
        recorder = install()
    except Exception:
        _logger.warning("tracer: not installed; the application works as before", exc_info=True)
        return application
    if recorder is not None:
        try:
            _instrument(recorder, application)
        except Exception as error:  # noqa: BLE001 - the application works as before
            recorder.problem(_CHAIN, "refused", repr(error))
    return application


def _instrument(recorder: Recorder, application: object) -> None:
    if hasattr(application, "_middleware_chain"):
        from django.conf import settings  # noqa: PLC0415 - a handler exists, so Django does

        from tracer.chain import instrument_built  # noqa: PLC0415

        instrument_built(recorder, application, list(settings.MIDDLEWARE))
    elif "django.core.handlers.base" in sys.modules:
        kind = type(application)
        reason = f"{kind.__module__}.{kind.__qualname__} is no handler of Django's"
        recorder.problem(_CHAIN, "absent", reason)


def _rate(text: str | None) -> float:
    try:
        rate = float(text or 1)
    except ValueError:
        return 1.0
    return min(max(rate, 0.0), 1.0) if rate == rate else 1.0  # noqa: PLR0124 - NaN isn't


def _describe(recorder: Recorder, installation: Installation) -> dict[str, object]:
    seams = [
        {"seam": seam, "status": status, "reason": reason}
        for seam, (status, reason) in installation.statuses.items()
    ]
    seams += [
        {"seam": seam, "status": status, "reason": reason}
        for seam, (status, reason) in recorder.problems.items()
        if seam not in installation.statuses
    ]
    return {
        "pid": os.getpid(),
        "boot_id": boot_id(),
        "wall_offset_ns": wall_offset_ns(),
        "seams": seams,
        "environment": _environment(),
    }


def _environment() -> dict[str, Any]:
    environment: dict[str, Any] = process_description()
    for distribution in _DISTRIBUTIONS:
        environment[distribution] = _version(distribution)
    servers = {name: _version(name) for name in _SERVERS}
    environment["servers"] = {name: version for name, version in servers.items() if version}
    environment["debug"] = _django_debug()
    environment["asyncio_debug"] = asyncio.coroutines._is_debug_mode()  # type: ignore[attr-defined]  # noqa: SLF001
    return environment


def _django_debug() -> bool | None:
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return None
    return bool(conf.settings.DEBUG)


@functools.cache
def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except Exception:  # noqa: BLE001 - missing, or with metadata that can't be read
        return None
