"""The agent itself, started by `tracer.launch.spawn`: one process beside all workers of a server.

    python -m tracer.agent.process RECORDING DIRECTORY PID new|keep LOCK [READY]

It polls the rings of a directory, writes what it finds in batches, and ends when the
process PID (0: none) and all that may hand something over have ended. Exit codes 0 and 2
say that it is not to be started again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracer.agent.agent import Agent
from tracer.agent.background import Concluding
from tracer.agent.conversation import Conversation, listen, sync_with
from tracer.agent.directories import SOCKET, put_away_leftovers, remove_if_empty
from tracer.agent.server import Watch
from tracer.export.channel import Channel
from tracer.launch.priority import give_way
from tracer.launch.spawn import COMMAND, CONCLUDE
from tracer.recording.file import RecordingError, read_meta
from tracer.recording.writer import RecordingWriter
from tracer.ring.locks import hold_alone
from tracer.settings import otlp as exporting
from tracer.settings.rotation import read_rotation

if TYPE_CHECKING:
    from collections.abc import Sequence

_POLL_S: Final = 0.05
_IDLE_POLL_S: Final = 0.2
_IDLE_AFTER_S: Final = 1.0
_LAST_DRAIN_S: Final = 5.0
_EXPORTED_S: Final = 15.0
_LOG_SIZE: Final = 64 * 1024
_ARGUMENTS: Final = (6, 7)
_NICER: Final = 5


def serve(agent: Agent, concluding: Concluding, conversation: Conversation, watch: Watch) -> None:
    """Poll until told to close, or until nobody is left who may hand something over."""
    poller = select.poll()
    poller.register(conversation.listener, select.POLLIN)
    for descriptor in watch.descriptors:
        poller.register(descriptor, select.POLLIN)
    busy_at = time.monotonic()
    while True:
        if agent.drain():
            busy_at = time.monotonic()
        pause = _IDLE_POLL_S if time.monotonic() - busy_at > _IDLE_AFTER_S else _POLL_S
        if concluding.step():
            pause = 0
        ready = {one for one, _ in poller.poll(pause * 1000)}
        if conversation.listener.fileno() in ready:
            conversation.answer()
        for descriptor in ready & set(watch.descriptors):
            poller.unregister(descriptor)
            watch.ended()
        if conversation.closing or watch.is_over(needed=agent.is_needed()):
            return


def finish(agent: Agent) -> None:
    """Take all there is; a recording that can't be written is waited for, but not for long."""
    deadline = time.monotonic() + _LAST_DRAIN_S
    while (agent.drain() or agent.failure) and time.monotonic() < deadline:
        if agent.failure:
            time.sleep(_POLL_S)


def main(arguments: Sequence[str]) -> int:
    """Open the recording, say that it is, and serve."""
    if len(arguments) not in _ARGUMENTS:
        sys.stderr.write(f"usage: {(__doc__ or '').splitlines()[2].strip()}\n")
        return 2
    path, directory = Path(arguments[1]), Path(arguments[2])
    ready = int(arguments[6]) if len(arguments) > _ARGUMENTS[0] else None
    _step_aside(directory)
    if not hold_alone(int(arguments[5])):
        return _refuse(ready, f"{directory}: another agent serves it")
    try:
        keep = arguments[4] == "keep"
        recording = _open(path, directory, keep=keep)
        listener = listen(directory)
    except RecordingError as error:
        return _refuse(ready, str(error))
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        return _refuse(ready, f"{path}: cannot be written ({reason})")
    _say_ready(ready, "ok")
    put_away_leftovers()
    channel = _channel(path)
    agent = Agent(recording, directory, _say, channel)
    concluding = Concluding(recording, _say)
    conversation = Conversation(agent, listener, {"recording": str(path), "pid": os.getpid()})
    watch = Watch(int(arguments[3]), directory)
    while True:
        serve(agent, concluding, conversation, watch)
        finish(agent)
        if conversation.closing:
            _end(agent, recording, channel)
            break
        if remove_if_empty(directory, lambda: _end(agent, recording, channel)):
            break
    conversation.end(directory)
    return 0


def _channel(path: Path) -> Channel | None:
    """Export, where whoever started this agent wants that."""
    if os.environ.get(exporting.ENABLED) != "1":
        return None
    return Channel(os.environ, path.with_name(f"{path.name}.console"))


def _end(agent: Agent, recording: RecordingWriter, channel: Channel | None) -> None:
    finish(agent)
    if channel is not None:
        recording.note("export", channel.close(_EXPORTED_S))
    try:
        recording.close()
    except sqlite3.Error as error:
        _say(f"the recording could not be ended cleanly ({error})")


def _open(path: Path, directory: Path, *, keep: bool) -> RecordingWriter:
    """Begin the recording; or go on with it, where this directory's last agent was killed."""
    meta = {"socket": str(directory / SOCKET)}
    path.parent.mkdir(parents=True, exist_ok=True)
    conclude = os.environ.get(CONCLUDE) != "0"
    rotation, _ = read_rotation(os.environ)
    there = _recording_at(path)
    if there is not None:
        _refuse_another(path, there, meta["socket"])
        if keep or there.get("socket") == meta["socket"]:
            return RecordingWriter.reopen(path, meta, rotation, conclude=conclude)
    return RecordingWriter(
        path, {**meta, "command": os.environ.get(COMMAND, "")}, rotation, conclude=conclude
    )


def _recording_at(path: Path) -> dict[str, object] | None:
    """Return what a recording that is there says of itself; None if there is none."""
    try:
        return read_meta(path)
    except RecordingError:
        return None


def _refuse_another(path: Path, there: dict[str, object], own: str) -> None:
    """Raise `RecordingError` if another agent is writing this recording right now."""
    address = str(there.get("socket", ""))
    if there.get("state") != "closed" and address != own and sync_with(address):
        raise RecordingError(f"{path}: is being written by another run")


def _step_aside(directory: Path) -> None:
    """The terminal's signals are for the server; so are processors and memory where they lack."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    give_way(_NICER)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    with contextlib.suppress(OSError):
        log = directory / "agent.log"
        fresh = os.O_TRUNC if log.exists() and log.stat().st_size > _LOG_SIZE else os.O_APPEND
        opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | fresh, 0o600)
        os.dup2(opened, 2)
        os.close(opened)


def _say(line: str) -> None:
    """Write to the log in the ring directory, if there is still room for it."""
    with contextlib.suppress(OSError, ValueError):
        if os.fstat(2).st_size < _LOG_SIZE:
            sys.stderr.write(f"tracer: {line}\n")
            sys.stderr.flush()


def _refuse(ready: int | None, reason: str) -> int:
    _say(reason)
    _say_ready(ready, reason)
    return 2


def _say_ready(ready: int | None, answer: str) -> None:
    if ready is not None:
        with contextlib.suppress(OSError):  # who waited for it the first time is long gone
            os.write(ready, " ".join(answer.split()).encode() + b"\n")
        os.close(ready)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
