"""What was measured on: machine, versions, cores."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.child import accelerated

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
_LIBRARIES: Final = (
    "django",
    "asgiref",
    "djangorestframework",
    "gunicorn",
    "uvicorn",
    "uvicorn-worker",
    "uvloop",
    "httptools",
)


def description() -> dict[str, Any]:
    """Return machine and versions as they stand in every result."""
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
        "accelerator": bool(accelerated()),
        "commit": _commit(),
        "measured_unix_s": round(time.time()),
    }


def version(distribution: str) -> str | None:
    """Return the version of an installed distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def cores() -> tuple[frozenset[int], frozenset[int]]:
    """Return the core that is measured on, and where all else shall run.

    Of the cores this process began with: whoever is `pinned` already asks again.
    """
    every = sorted(os.sched_getaffinity(0))
    return frozenset(every[-1:]), frozenset(every[:-1] or every)


@contextlib.contextmanager
def pinned(where: frozenset[int]) -> Iterator[None]:
    """Run here, and start processes that run here, for as long as this lasts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, where)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_clock(pid: int) -> int:
    """Return the id of the clock of CPU time of all threads of a process, ended ones too.

    Linux makes it of the process id; `time.clock_gettime_ns` reads it in nanoseconds.
    """
    return (~pid << 3) | 2


def cpu_ns(pid: int) -> int:
    """Return the CPU time of another process; raise OSError if it has ended."""
    return time.clock_gettime_ns(cpu_clock(pid))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str | None:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None
