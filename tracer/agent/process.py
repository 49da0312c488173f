"""The agent itself: `python -m tracer.agent.process RECORDING DIRECTORY PID COMMAND`.

It polls the rings of a directory, writes what it finds in batches, and ends when the
process it belongs to has ended and the workers' rings are empty.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracer.agent.session import SOCKET, sync_with
from tracer.frames import is_whole
from tracer.ring import RingError, RingReader
from tracer.sinks.recording import Recording, RecordingError, RecordingWriter

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_S: Final = 0.05
_GRACE_S: Final = 5.0
_ARGUMENTS: Final = 5


class Agent:
    """Takes timelines from rings and writes them down."""

    def __init__(self, recording: RecordingWriter, directory: Path) -> None:
        """Serve the rings in `directory`."""
        self._recording = recording
        self._directory = directory
        self._rings: dict[str, RingReader] = {}
        self._refused: set[str] = set()
        self._described: dict[str, object] = {}
        self._damaged: dict[str, int] = {}

    def drain(self) -> int:
        """Write everything the rings hold; return how many frames there were."""
        self._find_rings()
        count = 0
        self._recording.begin()
        for name, ring in list(self._rings.items()):
            try:
                count += self._drain_one(name, ring)
            except (RingError, ValueError) as error:
                sys.stderr.write(f"tracer: {error}; its worker is left out from here on\n")
                self._refused.add(name)
                self._rings.pop(name).close()
        self._recording.commit()
        return count

    def workers_alive(self) -> bool:
        """Say whether a process that made a ring is still there."""
        return any(_runs(ring.pid) for ring in self._rings.values())

    def _drain_one(self, name: str, ring: RingReader) -> int:
        found = list(ring.frames())
        whole = [(kind, frame) for kind, frame in found if is_whole(kind, frame)]
        damaged = self._damaged.get(name, 0) + len(found) - len(whole)
        self._damaged[name] = damaged
        dropped = ring.dropped + damaged
        if not found and self._described.get(name) == dropped:
            return 0
        self._described[name] = dropped
        self._recording.worker(name, ring.description(), dropped)
        names = ring.names(self._recording.known_names(name))
        if names:
            self._recording.names(name, names)
        for kind, frame in whole:
            self._recording.frame(name, kind, frame)
        return len(found)

    def _find_rings(self) -> None:
        for entry in os.scandir(self._directory):
            if not entry.name.endswith(".ring") or entry.name in self._refused:
                continue
            if entry.name not in self._rings:
                try:
                    self._rings[entry.name] = RingReader(Path(entry.path))
                except (RingError, OSError) as error:
                    sys.stderr.write(f"tracer: {error}\n")
                    self._refused.add(entry.name)


def serve(agent: Agent, listener: socket.socket, watched: int | None) -> None:
    """Poll until told to close or until the watched process has ended."""
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    if watched is not None:
        poller.register(watched, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(_POLL_S * 1000)}
        agent.drain()
        if listener.fileno() in ready and _answer(agent, listener):
            return
        if watched is not None and watched in ready:
            deadline = time.monotonic() + _GRACE_S
            while agent.workers_alive() and time.monotonic() < deadline:
                time.sleep(_POLL_S)
                agent.drain()
            return


def _answer(agent: Agent, listener: socket.socket) -> bool:
    """Answer one question; True if it was to close (the answer comes when that is done)."""
    connection, _ = listener.accept()
    connection.settimeout(1.0)
    try:
        question = connection.recv(64)
        agent.drain()
        if question == b"close\n":
            _closing.append(connection)
            return True
        connection.sendall(b"ok\n")
    except OSError:
        pass
    connection.close()
    return False


_closing: list[socket.socket] = []


def main(arguments: list[str]) -> int:
    """Open the recording, say so by exiting in the foreground, and go on behind."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: tracer.agent.process RECORDING DIRECTORY PID COMMAND\n")
        return 2
    path, directory, pid = Path(arguments[1]), Path(arguments[2]), int(arguments[3])
    try:
        _refuse_another_agents(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(directory / SOCKET))
        listener.listen(8)
        meta = {"socket": str(directory / SOCKET), "command": arguments[4]}
        recording = RecordingWriter(path, meta)
        watched = _pidfd(pid)
    except RecordingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        sys.stderr.write(f"{path}: cannot be written ({reason})\n")
        return 2
    recording.suspend()
    if os.fork():
        os._exit(0)
    recording.resume()
    _detach()
    _run(recording, directory, listener, watched)
    return 0


def _refuse_another_agents(path: Path) -> None:
    """Raise `RecordingError` if another agent is writing this recording right now."""
    try:
        with Recording(path, check_complete=False) as there:
            address = str(there.meta.get("socket", "")) if there.open else ""
    except RecordingError:
        return
    if address and sync_with(address):
        raise RecordingError(f"{path}: is being written by another run")


def _run(
    recording: RecordingWriter, directory: Path, listener: socket.socket, watched: int | None
) -> None:
    agent = Agent(recording, directory)
    try:
        serve(agent, listener, watched)
        agent.drain()
    finally:
        recording.close()
        shutil.rmtree(directory, ignore_errors=True)
        for connection in _closing:
            with contextlib.suppress(OSError):
                connection.sendall(b"ok\n")


def _runs(pid: int) -> bool:
    """Say whether a process runs; one that has ended and that nobody waits for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return not stat.rpartition(")")[2].lstrip().startswith("Z")


def _pidfd(pid: int) -> int | None:
    opener: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    return opener(pid) if opener is not None else None


def _detach() -> None:
    """The terminal's signals are for the server; the agent ends after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
