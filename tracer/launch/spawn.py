"""Start an agent beside the workers, from any process: exactly one for a ring directory.

The agent runs under a guardian, a shell of a megabyte that starts it again when it was
killed. Both are in a session of their own, children of nobody here, and hold no
descriptor of ours but the lock that makes them the only ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracer.ring.directory import RING_HOME, claim, join, make
from tracer.settings import rotation
from tracer.settings.metrics import passed_on

if TYPE_CHECKING:
    from collections.abc import Mapping

RING_DIRECTORY: Final = "TRACER_RING_DIRECTORY"
RECORD: Final = "TRACER_RECORD"
CONCLUDE: Final = "TRACER_CONCLUDE"
COMMAND: Final = "TRACER_COMMAND"
"""What the recording says was run: not among an agent's arguments, which all users see."""

_SHELL: Final = "/bin/sh"
# Exit codes 0 and 2 are the agent's own wish, 126 and 127 say it can't be run. The pause before
# the next start grows; both it and the number of tries are forgotten when an agent lived for long.
# The session is nicer than the server's, where the kernel asks for that (see
# `tracer.launch.priority`); of all users that aren't root it grants one such wish in a tenth of a
# second.
_GUARDIAN: Final = """
cd /
trap '' HUP INT TERM
(
  [ -w /proc/self/autogroup ] && for try in 1 2 3 4 5 6; do
    { echo 10 > /proc/self/autogroup; } 2> /dev/null && break
    sleep 0.1$(($$ % 10))
  done
  pause=0 tries=0
  while [ -d "$5" ] && [ $tries -lt 12 ]; do
    began=$(date +%s)
    "$@"
    case $? in 0|2|126|127) exit;; esac
    [ $(($(date +%s) - began)) -gt 30 ] && pause=0 tries=0
    tries=$((tries + 1))
    sleep $pause
    pause=$((pause * 2 + 1))
    [ $pause -gt 60 ] && pause=60
  done
) &
"""
_LOCK_AT: Final = 3
_READY_AT: Final = 4
_OUT_OF_THE_WAY: Final = 10


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """What an agent serves, and how.

    It ends after the process `watch` (0: none) and the last worker. With `keep` a recording
    that is there is continued. Without `conclude` it only records. `rotate` are variables
    of `tracer.settings.rotation`, `export` those that have it export spans.
    """

    recording: Path
    directory: Path
    watch: int = 0
    command: str = ""
    keep: bool = False
    conclude: bool = True
    rotate: Mapping[str, str] = field(default_factory=dict)
    export: Mapping[str, str] = field(default_factory=dict)


def start_agent(what: AgentSpec, lock: int, ready: int | None = None) -> None:
    """Start guardian and agent; `lock` is what `claim` gave, and is to be closed afterwards.

    The agent says on `ready` that it has begun, or why not. Raises `OSError`.
    """
    package_home = str(Path(os.path.realpath(__file__)).parents[2])
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRACER_") or name == RING_HOME
    }
    variables["PYTHONSAFEPATH"] = "1"
    variables["PYTHONPATH"] = os.pathsep.join(
        filter(None, (package_home, variables.get("PYTHONPATH")))
    )
    variables.update({**what.rotate, **what.export})
    variables[CONCLUDE] = "1" if what.conclude else "0"
    variables[COMMAND] = what.command
    agent = [sys.executable, "-m", "tracer.agent.process", str(what.recording)]
    agent += [str(what.directory), str(what.watch)]
    agent += ["keep" if what.keep else "new", str(_LOCK_AT)]
    agent += [str(_READY_AT)] if ready is not None else []
    descriptors = [(lock, _LOCK_AT)] + ([(ready, _READY_AT)] if ready is not None else [])
    moved = [
        (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY), at) for one, at in descriptors
    ]
    try:
        pid = os.posix_spawn(
            _SHELL,
            [_SHELL, "-c", _GUARDIAN, "tracer-guardian", *agent],
            variables,
            file_actions=[*_nothing_else(), *((os.POSIX_SPAWN_DUP2, *pair) for pair in moved)],
            setsid=True,
            setsigdef=(),
        )
    finally:
        for one, _ in moved:
            os.close(one)
    with contextlib.suppress(ChildProcessError):  # the first shell ends at once
        os.waitpid(pid, 0)


def _nothing_else() -> list[tuple[int, int] | tuple[int, int, str, int, int]]:
    """Leave nothing of ours open there: a listening socket would outlive its server."""
    actions: list[tuple[int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)
    ]
    for entry in os.scandir("/proc/self/fd"):
        number = int(entry.name)
        with contextlib.suppress(OSError):
            if number > 2 and os.get_inheritable(number):  # noqa: PLR2004 - after the standard three
                actions.append((os.POSIX_SPAWN_CLOSE, number))
    return actions


def check_writable(recording: Path) -> None:
    """Raise `OSError` with one line if a recording can't be written, as far as can be seen."""
    if recording.exists() or recording.is_symlink():
        if not recording.is_file():
            raise OSError(f"{recording}: not a file")
        if not os.access(recording, os.W_OK):
            raise OSError(f"{recording}: cannot be written")
    folder = recording.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"{recording}: cannot be written ({folder} is not to be written to)")


class AgentSpawner:
    """What a worker that was told a recording, but no agent, does at its first request."""

    def __init__(self, recording: Path, directory: Path) -> None:
        """Meet in `directory` with whoever else writes `recording`."""
        self._recording = recording
        self._directory = directory
        self._alive = -1
        self._known = (0, 0)

    def __call__(self) -> None:
        """Be alive in the directory, and start an agent where there is none; raise `OSError`."""
        make(self._directory)
        self._join()
        lock = claim(self._directory)
        if lock is not None:
            try:
                name = Path(sys.argv[0]).name if sys.argv else ""
                rotate = {one: os.environ[one] for one in rotation.VARIABLES if one in os.environ}
                what = AgentSpec(
                    self._recording,
                    self._directory,
                    command=name,
                    keep=True,
                    rotate=rotate,
                    export=passed_on(os.environ),
                )
                start_agent(what, lock)
            finally:
                os.close(lock)

    def _join(self) -> None:
        """Join, unless we have: a daemon may have closed our descriptor and use its number."""
        with contextlib.suppress(OSError):
            found = os.fstat(self._alive)
            if (found.st_dev, found.st_ino) == self._known:
                if found.st_nlink:
                    return
                os.close(self._alive)
        self._alive = join(self._directory)
        found = os.fstat(self._alive)
        self._known = (found.st_dev, found.st_ino)
