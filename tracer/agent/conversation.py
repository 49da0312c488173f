"""What is said through the agent's socket: one question a connection, one line back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracer.agent.directories import SOCKET
from tracer.agent.live import QUESTION
from tracer.ring.directory import is_served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracer.agent.agent import Agent

_TIMEOUT_S: Final = 60.0
_RESTART_S: Final = 0.05
_LONGEST: Final = 1 << 20
_FAILED: Final = b"failed "


class AgentError(Exception):
    """The agent cannot do its work; the message says why in one line."""


class Conversation:
    """The agent's end."""

    def __init__(self, agent: Agent, listener: socket.socket, known: dict[str, Any]) -> None:
        """Answer for `agent`; `known` goes with its status."""
        self.listener = listener
        self.closing = False
        self._agent = agent
        self._known = known
        self._waiting: list[socket.socket] = []

    def answer(self) -> None:
        """Answer one question; whoever asked to close hears when that is done."""
        connection, _ = self.listener.accept()
        connection.settimeout(1.0)
        with contextlib.suppress(OSError):
            question = connection.recv(64)
            if question == b"close\n":
                self._waiting.append(connection)
                self.closing = True
                return
            connection.sendall(self._answer(question))
        connection.close()

    def end(self, directory: Path) -> None:
        """Everything is in the recording: say so, and leave nothing behind."""
        shutil.rmtree(directory, ignore_errors=True)
        for connection in self._waiting:
            with contextlib.suppress(OSError):
                connection.sendall(b"ok\n")
            connection.close()
        self.listener.close()

    def _answer(self, question: bytes) -> bytes:
        if question == b"status\n":
            return json.dumps({**self._known, **self._agent.status()}).encode() + b"\n"
        if question == QUESTION:
            self._agent.drain()
            answer = {**self._known, **self._agent.status(), **self._agent.live()}
            return json.dumps(answer).encode() + b"\n"
        while self._agent.drain():
            pass
        if self._agent.failure is not None:
            return _FAILED + self._agent.failure.encode(errors="replace") + b"\n"
        return b"ok\n"


def listen(directory: Path) -> socket.socket:
    """Listen in a ring directory, in the place of an agent that was killed there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    (directory / SOCKET).unlink(missing_ok=True)
    with _short(directory) as address:
        listener.bind(address)
    listener.listen(32)
    return listener


def ask(directory: Path, question: str, timeout_s: float = _TIMEOUT_S) -> str:
    """Return an agent's answer; one that was killed and comes again is waited for.

    Raise `AgentError` where there is none, or where it says that it failed.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with _connected(directory, deadline) as connection:
            connection.settimeout(max(deadline - time.monotonic(), 0.01))
            connection.sendall(question.encode() + b"\n")
            answer = connection.makefile("rb").readline(_LONGEST)
    except OSError as error:
        raise AgentError(f"the agent doesn't answer ({error})") from error
    if not answer.endswith(b"\n") or answer.startswith(_FAILED):
        reason = answer.removeprefix(_FAILED).decode(errors="replace").strip()
        raise AgentError(f"the agent failed: {reason or 'it is gone'}")
    return answer.decode(errors="replace").strip()


def sync_with(address: str) -> bool:
    """Ask the agent at a socket to catch up; False where there is none any more."""
    try:
        ask(Path(address).parent, "sync")
    except (AgentError, ValueError):
        return False
    return True


def _connected(directory: Path, deadline: float) -> socket.socket:
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.01))
            with _short(directory) as address:
                connection.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            connection.close()
            if not is_served(directory) or time.monotonic() > deadline:
                raise
            time.sleep(_RESTART_S)
        except BaseException:
            connection.close()
            raise
        else:
            return connection


@contextlib.contextmanager
def _short(directory: Path) -> Iterator[str]:
    """Name the socket so that it fits: 107 bytes are the most."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
