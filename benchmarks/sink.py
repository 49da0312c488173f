"""A receiver that takes everything and keeps nothing but a count: `python -m benchmarks.sink`.

Prints its port. `GET /received` answers with the number of requests that had a body.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from benchmarks.child import die_with_parent
from benchmarks.machine import ROOT

_TEXT: Final = b"{}"


class Sink:
    """A receiver in a process of its own."""

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sink"], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def received(self) -> int:
        """Return how many requests with a body it has taken."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", "/received")
        received = int(json.load(connection.getresponse())["received"])
        connection.close()
        return received


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a peer's exporter waits 40 ms for each answer
    received = 0

    def do_GET(self) -> None:
        """Say how much came; to all other questions, nothing."""
        found = {"received": _Handler.received} if self.path == "/received" else {}
        self._answer(json.dumps(found).encode())

    def do_POST(self) -> None:
        """Read it and forget it."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _Handler.received += 1
        self._answer(_TEXT)

    do_PUT = do_POST  # noqa: N815 - the names are http.server's

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    def handle_error(self, _request: Any, _address: Any) -> None:
        """Say nothing: peers are killed in the middle of a sentence."""


def main() -> None:
    """Listen on a free loopback port until the parent ends."""
    die_with_parent()
    server = _Server(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
