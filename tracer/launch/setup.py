"""Switch tracing on in this process: by hand, around an application, or by `tracer run`."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import importlib.metadata
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tracer.launch.spawn import RECORD, RING_DIRECTORY, AgentSpawner, check_writable
from tracer.model.clock import boot_id, wall_offset_ns
from tracer.model.native import native
from tracer.ring.directory import DirectoryError, check, directory_of, join
from tracer.ring.layout import CAPACITY, PAGE
from tracer.ring.writer import RingWriter
from tracer.runtime.import_hooks import ImportWatcher
from tracer.runtime.recorder import Recorder, installed, set_installed
from tracer.runtime.seams import Installation
from tracer.settings.flame import read_flame_policy
from tracer.settings.rotation import read_rotation
from tracer.settings.sampling import Policy, read_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.ring.sink import Sink
    from tracer.runtime.seams import Probe
    from tracer.runtime.stacks.arming import Arming
    from tracer.settings.sampling import Problem

RECORD_PATHS: Final = "TRACER_RECORD_PATHS"
RING_BYTES: Final = "TRACER_RING_BYTES"
"""The variable that says how many bytes of frames a worker's ring holds; 16 MiB without it."""

_RING_BYTES: Final = range(64 * 1024, 1024 * 1024 * 1024)

_DISTRIBUTIONS: Final = ("django", "asgiref", "djangorestframework")
_SERVERS: Final = ("uvicorn", "gunicorn", "uvloop", "httptools", "h11", "uvicorn-worker")

_CHAIN: Final = "django:middleware chain"
_logger = logging.getLogger("tracer")
_App = TypeVar("_App")
_uninstall: list[Callable[[], None]] = []


def install(
    sink: Sink | None = None,
    probes: tuple[Probe, ...] | None = None,
    *,
    record: str | os.PathLike[str] | None = None,
) -> Recorder | None:
    """Wrap all known seams, those imported and those still to be; idempotent.

    Without a sink it records into the ring directory that `tracer run`, `tracer compare`
    or `tracer agent` announced; else into the recording `record`, or the one that
    TRACER_RECORD names, whose agent is started at the first request. Where there is none
    of these, nothing is installed and the answer is None.
    """
    recorder = installed()
    if recorder is not None:
        return recorder
    if sink is None:
        sink = _sink(record)
        if sink is None:
            return None
    policy = _policy()
    if probes is None:
        from tracer.probes import all_probes  # noqa: PLC0415 - one floor up, when needed

        probes = all_probes(server_timing=policy.server_timing)
    recorder = Recorder(
        sink,
        policy=policy,
        record_paths=os.environ.get(RECORD_PATHS) == "1",
    )
    recorder.arming = _arming(recorder)
    set_installed(recorder)
    installation = Installation(recorder, probes)
    recorder.describe = lambda: _try_to_describe(recorder, installation)
    watcher = ImportWatcher(installation.modules(), installation.module_imported)
    _uninstall.extend([watcher.install(), installation.stop])
    installation.start()
    return recorder


def uninstall() -> None:
    """Put every original back and forget the recorder."""
    while _uninstall:
        _uninstall.pop()()
    set_installed(None)


def wrap(application: _App, *, record: str | os.PathLike[str] | None = None) -> _App:
    """Trace a built ASGI or WSGI application; returns the same application.

    The middleware chain that Django has built is instrumented in place; what can't
    be reached is named in `seams_absent`. With `record` (or TRACER_RECORD) the first
    request starts an agent that writes this recording; under `tracer run` its agent is
    there. With neither this does nothing.
    """
    try:
        recorder = install(record=record)
    except Exception:
        _logger.warning("tracer: not installed; the application works as before", exc_info=True)
        return application
    if recorder is not None:
        try:
            _instrument(recorder, application)
        except Exception as error:  # noqa: BLE001 - the application works as before
            recorder.problem(_CHAIN, "refused", repr(error))
    return application


def _sink(record: str | os.PathLike[str] | None) -> Sink | None:
    """Return where to write: an agent's directory, or one that is made when it is needed."""
    announced = os.environ.get(RING_DIRECTORY)
    try:
        if announced:
            directory = Path(announced)
            if not directory.exists():
                return None
            check(directory)
            _uninstall.append(functools.partial(os.close, join(directory)))
            return RingWriter(directory, _ring_bytes())
        path = record or os.environ.get(RECORD)
        if not path:
            return None
        recording = Path(path).absolute()
        check_writable(recording)
        _warn("never rotated by what can't be used", read_rotation(os.environ)[1])
        directory = directory_of(recording)
        if directory.exists():
            check(directory)
    except DirectoryError as error:
        _logger.warning("tracer: not installed: %s", error)
        return None
    except OSError as error:
        if not announced:
            _logger.warning("tracer: not installed: %s", error)
        return None
    return RingWriter(directory, _ring_bytes(), prepare=AgentSpawner(recording, directory))


def _ring_bytes() -> int:
    text = os.environ.get(RING_BYTES, "")
    wanted = int(text) if text.isdecimal() else CAPACITY
    return wanted // PAGE * PAGE if wanted in _RING_BYTES else CAPACITY


def _instrument(recorder: Recorder, application: object) -> None:
    if hasattr(application, "_middleware_chain"):
        from django.conf import settings  # noqa: PLC0415 - a handler exists, so Django does

        from tracer.runtime.django_chain import instrument_built  # noqa: PLC0415

        instrument_built(recorder, application, list(settings.MIDDLEWARE))
    elif "django.core.handlers.base" in sys.modules:
        kind = type(application)
        reason = f"{kind.__module__}.{kind.__qualname__} is no handler of Django's"
        recorder.problem(_CHAIN, "absent", reason)


def _policy() -> Policy:
    """Read what is asked for; what can't be used is said once and left out."""
    policy, problems = read_policy(os.environ)
    _warn("sampling as if these weren't set", problems)
    return policy


def _arming(recorder: Recorder) -> Arming | None:
    """Return what takes stacks of requests, None where nobody asked for any."""
    policy, problems = read_flame_policy(os.environ)
    _warn("stacks are taken as if these weren't set", problems)
    if policy is None:
        return None
    from tracer.runtime.stacks.arming import Arming  # noqa: PLC0415 - few processes are asked for stacks

    return Arming(policy, functools.partial(recorder.problem, "flame:profiler", "refused"))


def _warn(what: str, problems: list[Problem]) -> None:
    if problems:
        said = "; ".join(f"{problem.variable}: {problem.reason}" for problem in problems)
        _logger.warning("tracer: %s: %s", what, said)


def _try_to_describe(recorder: Recorder, installation: Installation) -> dict[str, object]:
    """A process that can't describe itself loses no timeline for it."""
    try:
        return _describe(recorder, installation)
    except Exception as error:  # noqa: BLE001 - whatever it is, the timelines matter more
        recorder.problem("process:description", "refused", repr(error))
        return {"pid": os.getpid()}


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
        "policy": dataclasses.asdict(recorder.policy),
        "threads": recorder.threads.by_number(),
        "environment": _environment(),
    }


def process_description() -> dict[str, Any]:
    """Return what the contract's `environment` needs of this process, libraries excepted."""
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "cpus": len(os.sched_getaffinity(0)),
        "switch_interval_ns": round(sys.getswitchinterval() * 1_000_000_000),
        "kernel": os.uname().release,
        "accelerator": native is not None,
    }


def _environment() -> dict[str, Any]:
    environment = process_description()
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
