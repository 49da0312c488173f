"""A site on one of the servers under `tracer run`, asked by a plain client, and its recording."""

from __future__ import annotations

import http.client
import itertools
import secrets
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.server import ROOT, Server, command_of, environment, requests_in, tracer

if TYPE_CHECKING:
    from pathlib import Path


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
class Run:
    """One of the servers, serving a site, by `tracer run` or without; and its recording."""

    name: str
    site: str
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    traced: bool = True
    python: str = sys.executable
    options: tuple[str, ...] = ()

    def __enter__(self):
        self.recording = self.directory / f"{self.name}.recording"
        variables = {"DJANGO_SETTINGS_MODULE": f"{self.site}.settings", **self.environment}
        command = (*command_of(self.name, self.site), *self.options)
        if self.traced:
            record = ("run", "--record", str(self.recording), "--record-paths", "--")
            command = ("tracer", *record, self.python, "-m", *command)
        self.server = Server(
            command,
            environment(**variables),
            self.directory / f"{self.name}.log",
            cwd=ROOT,
            python=sys.executable if self.traced else self.python,
        )
        self.server.__enter__()
        return self

    def __exit__(self, *_error):
        try:
            self.stop()
        finally:
            self.server.__exit__()

    @property
    def port(self):
        return self.server.port

    def stop(self):
        """End the server as an operator would."""
        return self.server.stop()

    def records(self):
        """Every recorded request, as `tracer report` tells it; the server is ended first."""
        self.stop()
        return requests_in(self.recording)

    def report(self, form):
        done = tracer("report", self.recording, "--format", form, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def text(self):
        """What the server printed."""
        return self.server.output


class Client:
    """Asks one server, by keep-alive or by a connection each time."""

    def __init__(self, run: Run):
        self.port = run.port
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
