"""A user's server as processes of ours: started, awaited, and surely ended."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tracer.compare.address import HOST, free_ports, parse_command
from tracer.compare.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_POLL_S: Final = 0.02
_TERMINATE_S: Final = 5.0
_TAIL_BYTES: Final = 16_384
_TAIL_LINES: Final = 12
_READ_SIZE: Final = 65_536
_REASON: Final = re.compile(r"(?:[\w.]*(?:Error|Exception|ImproperlyConfigured)\b|Error: ).*")
_IN_USE: Final = re.compile(
    r"address already in use|errno 98|port is already in use", re.IGNORECASE
)
# Outlives us by design: when its stdin ends, however we ended, so does the group.
_GUARD: Final = 'read _; kill -TERM "-$1"; sleep 5; kill -KILL "-$1"'


class ServerError(Exception):
    """A server that can't be used. `lines` are the last ones it printed."""

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        """Keep the one line apart from the server's own."""
        super().__init__(message)
        self.lines = lines


class Server:
    """One server command, running in a process group of its own on a loopback port.

    Use as a context manager, or call `stop`, which never leaves anything running.
    """

    def __init__(
        self, command: str, *, environment: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        """Start the command; raise ServerError or CommandError where that can't be."""
        self.port = port or free_ports(1)[0]
        self.shown = redact(command)
        if _connects(self.port):
            raise ServerError(f"port {self.port} is already taken, {self.shown!r} can't have it")
        invocation = parse_command(command, self.port)
        variables = {**(os.environ if environment is None else environment), **invocation.variables}
        self._tail = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        try:
            self._process = subprocess.Popen(
                [_program(invocation.arguments[0], variables), *invocation.arguments[1:]],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise ServerError(f"{self.shown!r} can't be run: {error.strerror or error}") from error
        self._guard = _guard(self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process.poll() is None

    def __enter__(self) -> Self:
        """Return the server, as it is."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def wait_ready(self, path: str = "/", *, host: str | None = None, timeout_s: float = 60) -> int:
        """Return the status `path` answers with, once it does.

        Raise ServerError where the server exits or hasn't answered in time.
        """
        deadline = time.monotonic() + timeout_s
        request = f"GET {path} HTTP/1.1\r\nHost: {host or f'{HOST}:{self.port}'}\r\n"
        request += "Connection: close\r\n\r\n"
        connected = False
        while time.monotonic() < deadline:
            self._check_running()
            with suppress(OSError), socket.create_connection((HOST, self.port), 1) as sock:
                connected = True
                sock.sendall(request.encode())
                head = self._answer(sock, deadline)
                if head:
                    return self._status(head)
            time.sleep(_POLL_S)
        what = "did not answer" if connected else f"did not listen on port {self.port}"
        raise ServerError(f"{self.shown!r} {what} within {timeout_s:g} s", self.last_lines())

    def last_lines(self, count: int = _TAIL_LINES) -> tuple[str, ...]:
        """Return the last non-empty lines it printed."""
        if not self._log.closed:
            size = os.fstat(self._log.fileno()).st_size
            self._tail = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        tail = self._tail
        lines = tail.decode(errors="replace").splitlines()
        return tuple([line.rstrip() for line in lines if line.strip()][-count:])

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it and all it started: ask, wait, kill the group. Safe to call twice."""
        try:
            self.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TERMINATE_S)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._guard.kill()
            self._guard.wait()
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            self.last_lines()
            self._log.close()

    def _answer(self, sock: socket.socket, deadline: float) -> bytes:
        """Return the first bytes of the answer; a slow first request is waited for."""
        while time.monotonic() < deadline:
            self._check_running()
            readable, _, _ = select.select([sock], [], [], _POLL_S)
            if readable:
                head = sock.recv(_READ_SIZE)
                sock.settimeout(0.2)
                rest = head
                with suppress(OSError):
                    while rest and time.monotonic() < deadline:
                        rest = sock.recv(_READ_SIZE)
                return head
        return b""

    def _status(self, head: bytes) -> int:
        match = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        if match is None:
            raise ServerError(
                f"{self.shown!r} does not speak HTTP/1: it answered {head[:40]!r}",
                self.last_lines(),
            )
        return int(match[1])

    def _check_running(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        lines = self.last_lines(200)
        if any(_IN_USE.search(line) for line in lines):
            message = f"{self.shown!r} ended at its start: its port is already taken"
        else:
            reasons = [match[0] for line in lines if (match := _REASON.search(line))]
            reason = f": {reasons[-1]}" if reasons else ""
            message = f"{self.shown!r} ended at its start, {_how(code)}{reason}"
        raise ServerError(message, lines[-_TAIL_LINES:])


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _connects(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


def _program(name: str, variables: Mapping[str, str]) -> str:
    """Find a program as a shell would, else beside our interpreter; raise OSError."""
    found = shutil.which(name, path=variables.get("PATH"))
    found = found or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        message = f"there is no program {name!r}"
        raise FileNotFoundError(None, message)
    return found


def _guard(group: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
