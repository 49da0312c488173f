"""Start an agent, tell servers about it, ask it to catch up, end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import tracer
from tracer.setup import RECORD_PATHS, RING_DIRECTORY, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

SOCKET: Final = "agent.sock"
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where there is one, rings belong there
_ROOM: Final = 512 * 1024 * 1024
_TIMEOUT_S: Final = 60.0


class AgentError(Exception):
    """The agent cannot do its work; the message says why in one line."""


class Session:
    """One agent with its ring directory and its recording."""

    def __init__(self, recording: Path, directory: Path, *, sample: float, paths: bool) -> None:
        """Belong to the agent that serves `directory`; see `open_session`."""
        self.recording = recording
        self._directory = directory
        self._sample = sample
        self._paths = paths
        self._open = True

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a server that shall be traced by this agent."""
        site = str(self._directory / "site")
        path = base.get("PYTHONPATH")
        return {
            **base,
            "PYTHONPATH": f"{site}{os.pathsep}{path}" if path else site,
            RING_DIRECTORY: str(self._directory),
            SAMPLE: str(self._sample),
            RECORD_PATHS: "1" if self._paths else "0",
        }

    def sync(self) -> None:
        """Return when everything finished so far can be read from the recording."""
        _ask(self._directory / SOCKET, b"sync")

    def close(self) -> None:
        """Have the agent take the rest, end the recording cleanly and go."""
        if self._open:
            self._open = False
            _ask(self._directory / SOCKET, b"close")

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


def open_session(
    recording: Path,
    *,
    sample: float = 1.0,
    record_paths: bool = False,
    watch: int | None = None,
    command: str = "",
) -> Session:
    """Start an agent that writes `recording`; raise `AgentError` if it can't.

    `command` is what the recording says was run: without secrets, please.
    It ends by itself when the process `watch` (this one by default) has ended.
    """
    directory = Path(tempfile.mkdtemp(prefix="tracer-", dir=_ring_home()))
    try:
        _make_site(directory / "site")
        _start(recording.absolute(), directory, watch or os.getpid(), command)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Session(recording, directory, sample=sample, paths=record_paths)


def sync_with(address: str) -> bool:
    """Ask the agent at a socket to catch up; False where there is none any more."""
    try:
        _ask(Path(address), b"sync")
    except AgentError:
        return False
    return True


def _start(recording: Path, directory: Path, watch: int, command: str) -> None:
    agent = [
        sys.executable,
        "-m",
        "tracer.agent.process",
        str(recording),
        str(directory),
        str(watch),
        command,
    ]
    package_home = str(Path(tracer.__file__).parent.parent)
    environment = {k: v for k, v in os.environ.items() if k != RING_DIRECTORY}
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{package_home}{os.pathsep}{path}" if path else package_home
    started = subprocess.run(  # noqa: S603 - our own module
        agent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        start_new_session=True,
        check=False,
    )
    if started.returncode:
        lines = (started.stderr or started.stdout).strip().splitlines() or ["no reason given"]
        raise AgentError(lines[-1])


def _make_site(site: Path) -> None:
    """Make the one entry that a traced process gets on its path: it holds only us.

    Compiled once, not by every run anew: that is half of what a start costs.
    """
    package = Path(tracer.__file__).parent
    site.mkdir()
    (site / "tracer").symlink_to(package)
    (site / "sitecustomize.py").symlink_to(package / "inject" / "sitecustomize.py")
    compiled = package / "inject" / "__pycache__"
    with contextlib.suppress(OSError):
        compiled.mkdir(exist_ok=True)
        (site / "__pycache__").symlink_to(compiled)


def _ring_home() -> str | None:
    try:
        if shutil.disk_usage(_SHARED_MEMORY).free > _ROOM and os.access(_SHARED_MEMORY, os.W_OK):
            return str(_SHARED_MEMORY)
    except OSError:
        pass
    return None


def _ask(address: Path, question: bytes) -> None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(address))
            connection.sendall(question + b"\n")
            answer = connection.makefile("rb").readline()
    except OSError as error:
        message = f"the agent doesn't answer ({error})"
        raise AgentError(message) from error
    if answer != b"ok\n":
        message = f"the agent failed: {answer.decode(errors='replace').strip() or 'it is gone'}"
        raise AgentError(message)
