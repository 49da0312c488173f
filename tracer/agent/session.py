"""Start an agent, tell servers about it, ask it to catch up, end it."""

from __future__ import annotations

import os
import select
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import tracer
from tracer.agent.conversation import AgentError, ask, sync_with
from tracer.agent.directories import new_directory
from tracer.launch.setup import RECORD_PATHS
from tracer.launch.spawn import RING_DIRECTORY, AgentSpec, start_agent
from tracer.ring.directory import ALIVE, claim, lock, make
from tracer.settings import flame as flame_policy
from tracer.settings import sampling
from tracer.settings.otlp import ENABLED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["AgentError", "Session", "open_session", "sync_with"]

_TIMEOUT_S: Final = 60.0
_DYING_S: Final = 1.0
_ASKED: Final = frozenset({*sampling.VARIABLES, *flame_policy.VARIABLES})
_EVERY: Final = {sampling.SAMPLE: "1"}
_INJECT: Final = str(Path(tracer.__file__).resolve().parent / "launch" / "inject")
"""What is put on a server's path is a part of the package: nobody else can write there, and it
doesn't go when the server does."""


class Session:
    """One agent with its ring directory and its recording."""

    def __init__(
        self,
        recording: Path,
        directory: Path,
        *,
        policy: Mapping[str, str],
        paths: bool,
        exported: bool = False,
    ) -> None:
        """Belong to the agent that serves `directory`; see `open_session`."""
        self._exported = exported
        self.recording = recording
        self.directory = directory
        self._policy = policy
        self._paths = paths
        self._open = True

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a server that shall be traced by this agent."""
        path = base.get("PYTHONPATH")
        kept = {name: text for name, text in base.items() if name not in _ASKED}
        return {
            **kept,
            **self._policy,
            "PYTHONPATH": f"{_INJECT}{os.pathsep}{path}" if path else _INJECT,
            RING_DIRECTORY: str(self.directory),
            RECORD_PATHS: "1" if self._paths else "0",
            ENABLED: "1" if self._exported else "0",
        }

    def sync(self) -> None:
        """Return when everything finished so far can be read from the recording."""
        ask(self.directory, "sync")

    def close(self) -> None:
        """Have the agent take the rest, end the recording cleanly and go."""
        if self._open:
            self._open = False
            ask(self.directory, "close")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def open_session(  # noqa: PLR0913 - one a question
    recording: Path,
    *,
    policy: Mapping[str, str] | None = None,
    record_paths: bool = False,
    watch: int | None = None,
    command: str = "",
    conclude: bool = True,
    directory: Path | None = None,
    rotate: Mapping[str, str] | None = None,
    export: Mapping[str, str] | None = None,
) -> Session:
    """Start an agent that writes `recording`; raise `AgentError` if it can't.

    `policy` are the variables of `tracer.settings.sampling` for the servers; without it they
    record every request, whatever the environment says.

    `rotate` are the variables of `tracer.settings.rotation` for the agent; without it the recording
    is never ended before the agent is. `export` are those of `tracer.settings.otlp`; without
    it no spans are exported, whatever the environment says.

    Without `conclude` it only records: an experiment is left in peace.

    `command` is what the recording says was run: without secrets, please.
    It ends by itself when the process `watch` (this one by default) and all workers have
    ended. In a `directory` that is given it goes on with what is there, recording and rings.
    """
    keep = directory is not None
    try:
        directory = directory or new_directory()
    except OSError as error:
        raise AgentError(f"no directory for the rings: {error}") from error
    try:
        agent = AgentSpec(
            recording.absolute(),
            directory,
            watch or os.getpid(),
            command,
            keep,
            conclude,
            rotate or {},
            export or {},
        )
        _start(agent)
    except BaseException:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    asked = _EVERY if policy is None else policy
    return Session(recording, directory, policy=asked, paths=record_paths, exported=bool(export))


def _start(agent: AgentSpec) -> None:
    directory = agent.directory
    try:
        make(directory)
        held = _claim(directory)
        if held is None:
            raise AgentError(f"{directory}: another agent serves it")
        reading, ready = os.pipe()
        try:
            os.close(lock(directory / ALIVE, alone=False))
            start_agent(agent, held, ready)
        finally:
            os.close(held)
            os.close(ready)
        answer = _first_word(reading)
    except OSError as error:
        raise AgentError(str(error) or type(error).__name__) from error
    if answer != "ok":
        raise AgentError(answer or "the agent ended without a word")


def _claim(directory: Path) -> int | None:
    """Return the lock of a directory; one whose agent has just been killed takes a moment."""
    deadline = time.monotonic() + _DYING_S
    while (held := claim(directory)) is None and time.monotonic() < deadline:
        time.sleep(_DYING_S / 20)
    return held


def _first_word(reading: int) -> str:
    """Return the line an agent begins with; empty if it never does."""
    with os.fdopen(reading, "rb", buffering=0) as stream:
        poller = select.poll()
        poller.register(stream)
        if not poller.poll(_TIMEOUT_S * 1000):
            return f"the agent did not begin within {_TIMEOUT_S:.0f} s"
        answer = stream.readline().decode(errors="replace").strip()
        if answer != "ok":
            stream.read()  # to its end: when an error is told, nothing of the attempt is left
        return answer
