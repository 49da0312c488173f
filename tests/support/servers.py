"""Real servers, traced by `tracer run`, asked by a plain client, read by `tracer report`."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tracer.model.native import PURE

ROOT = Path(__file__).resolve().parents[2]
UVICORN_WORKER = "uvicorn_worker.UvicornWorker"
SERVERS = {
    "uvicorn-h11": ("asgi", ["uvicorn", "--http", "h11", "--loop", "asyncio"]),
    "uvicorn-uvloop": ("asgi", ["uvicorn", "--http", "httptools", "--loop", "uvloop"]),
    "gunicorn-sync": ("wsgi", ["gunicorn", "--workers", "1"]),
    "gunicorn-gthread": (
        "wsgi",
        ["gunicorn", "--workers", "1", "--worker-class", "gthread", "--threads", "4"],
    ),
    "gunicorn-uvicorn": ("asgi", ["gunicorn", "--workers", "1", "--worker-class", UVICORN_WORKER]),
}
NAMES = {
    "uvicorn-h11": ("uvicorn", "asyncio", "h11"),
    "uvicorn-uvloop": ("uvicorn", "uvloop", "httptools"),
    "gunicorn-sync": ("gunicorn.sync", None, None),
    "gunicorn-gthread": ("gunicorn.gthread", None, None),
    "gunicorn-uvicorn": ("gunicorn.uvicorn", "uvloop", "httptools"),
}
ASGI = [name for name, (interface, _) in SERVERS.items() if interface == "asgi"]
WSGI = [name for name, (interface, _) in SERVERS.items() if interface == "wsgi"]
START_S = 30.0
STOP_S = 20.0


@dataclass
class Answer:
    """What came back for one request, and by what it is found in the recording."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    trace_id: str
    sent_ns: int = 0
    received_ns: int = 0


@dataclass
class Server:
    """One server process, with or without the tracer."""

    name: str
    site: str
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    traced: bool = True
    python: str = sys.executable
    options: tuple[str, ...] = ()

    def __enter__(self):
        interface, words = SERVERS[self.name]
        self.port = free_port()
        self.recording = self.directory / f"{self.name}.recording"
        self.log = self.directory / f"{self.name}.log"
        module, *options = words
        address = (
            ["--port", str(self.port)]
            if module == "uvicorn"
            else ["--bind", f"127.0.0.1:{self.port}"]
        )
        application = f"{self.site}.{interface}:application"
        command = [self.python, "-m", module, application, *options, *address, *self.options]
        if self.traced:
            record = ["run", "--record", str(self.recording), "--record-paths", "--"]
            command = [sys.executable, "-m", "tracer", *record, *command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=_environment(self.environment, self.site),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error):
        self.stop()

    def stop(self):
        """End the server as an operator would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(STOP_S)

    def records(self):
        """Every recorded request, as `tracer report` tells it; the server is ended first."""
        self.stop()
        told = self.report("jsonl")
        return [json.loads(line) for line in told.splitlines()]

    def report(self, form):
        done = subprocess.run(
            [sys.executable, "-m", "tracer", "report", str(self.recording), "--format", form],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def text(self):
        """What the server printed."""
        return self.log.read_text(errors="replace")

    def _wait(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.03)
        raise AssertionError(f"{self.name} does not listen: {self.text()[-3000:]}")


class Client:
    """Asks one server, by keep-alive or by a connection each time."""

    def __init__(self, server: Server):
        self.port = server.port
        self._kept: http.client.HTTPConnection | None = None

    def ask(self, path, *, method="GET", body=None, headers=None, keep=True):
        """Send one request and read all of its answer."""
        connection = self._connect(keep=keep)
        trace_id = secrets.token_hex(16)
        sent = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01", **(headers or {})}
        if not keep:
            sent["Connection"] = "close"
        begin = time.perf_counter_ns()
        connection.request(method, path, body=body, headers=sent)
        with connection.getresponse() as response:
            read = response.read()
            answer = Answer(response.status, response.getheaders(), read, trace_id, begin)
        answer.received_ns = time.perf_counter_ns()
        if not keep:
            connection.close()
        return answer

    def repeat(self, path, times, **options):
        return [self.ask(path, **options) for _ in range(times)]

    def at_once(self, *asked, apart_s=0.0):
        """Send several requests at once, each on a connection of its own, `apart_s` apart."""
        start = time.monotonic() + 0.01

        def ask(number, path):
            time.sleep(max(0, start + number * apart_s - time.monotonic()))
            return self.ask(path, keep=False)

        with ThreadPoolExecutor(len(asked)) as pool:
            return list(pool.map(ask, itertools.count(), asked))

    def raw(self, *pieces, pause_s=0.0, sent=None, timeout=10):
        """Send bytes as they are, piece by piece; return all that came.

        `sent` is given the instants at which the pieces were sent.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout) as sock:
            for number, piece in enumerate(pieces):
                time.sleep(pause_s if number else 0)
                if sent is not None:
                    sent.append(time.perf_counter_ns())
                sock.sendall(piece)
            got = b""
            while data := sock.recv(65536):
                got += data
            return got

    def close(self):
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _connect(self, *, keep):
        if keep and self._kept is not None:
            return self._kept
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if keep:
            self._kept = connection
        return connection


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def head(method, path, *, trace_id=None, headers=(), close=True):
    """The bytes of a request's head."""
    trace_id = trace_id or secrets.token_hex(16)
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"traceparent: 00-{trace_id}-{secrets.token_hex(8)}-01",
        *(["Connection: close"] if close else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _environment(extra, site):
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == PURE or not name.startswith(("TRACER_", "DJANGO_"))
    }
    kept.pop("PYTHONASYNCIODEBUG", None)
    return {**kept, "DJANGO_SETTINGS_MODULE": f"{site}.settings", **extra}
