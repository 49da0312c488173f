"""The bare echo server: what the client, the kernel and one process cost without a framework."""

from __future__ import annotations

import gc
import os
import re
import selectors
import socket
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tracer.compare.children import end_child, start_child
from tracer.compare.load import LoadError, LoadPlan, on_port, run_load

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_SIZE: Final = 1 << 16
_BACKLOG: Final = 1024
_WARMUP: Final = 50
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)


def measure_floor(plan: LoadPlan, count: int, *, answer_bytes: int = 320) -> tuple[int, ...]:
    """Return the latencies in ns of `count` requests like those of `plan`, echoed.

    `answer_bytes` is the size of an answer, head included. Raise LoadError where
    the echo server can't be had.
    """
    with echo_server(answer_bytes) as port:
        warmup = _WARMUP + plan.concurrency
        load = replace(on_port(plan, port), requests=count, warmup=warmup, max_seconds=None)
        return run_load(load).latencies_ns


@contextmanager
def echo_server(answer_bytes: int = 320) -> Iterator[int]:
    """Run the echo server in a process of its own; yield its port."""
    child = start_child("tracer.compare.echo", str(answer_bytes))
    try:
        line = child.stdout.readline() if child.stdout else b""
        if not line:
            raise LoadError("the echo server did not start")
        yield int(line)
    finally:
        end_child(child)


class _Peer:
    """One connection; `buffer` holds what has come of a request."""

    __slots__ = ("buffer", "selector", "server", "sock")

    def __init__(self, server: _Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.buffer = b""

    def handle(self) -> None:
        try:
            data = self.sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if not data:
            self.close()
        elif end >= 0:
            self.answer(self.buffer[: end + 2], end + 4)

    def answer(self, head: bytes, head_size: int) -> None:
        if not head.startswith(b"GET"):
            length = _LENGTH.search(head)
            if length and len(self.buffer) < head_size + int(length[1]):
                return
        self.buffer = b""
        server = self.server
        closing = _CLOSE.search(head) is not None
        response = server.closing if closing else server.keeping
        try:
            self.sock.send(response[: server.head_size] if head.startswith(b"HEAD") else response)
        except OSError:
            closing = True
        if closing:
            self.close()

    def close(self) -> None:
        self.server.selector.unregister(self.sock)
        self.sock.close()


class _Server:
    """Accepts, and holds the answers as they go out."""

    def __init__(self, answer_bytes: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.listener.settimeout(0)
        head = b"HTTP/1.1 200 OK\r\nServer: echo\r\nContent-Type: text/plain\r\n"
        body = b"x" * max(1, answer_bytes - len(head) - len(b"Content-Length: 999\r\n\r\n"))
        head += b"Content-Length: %d\r\n" % len(body)
        self.keeping = head + b"\r\n" + body
        self.closing = head + b"Connection: close\r\n\r\n" + body
        self.head_size = len(head) + 2

    def handle(self) -> None:
        with suppress(BlockingIOError):
            sock, _ = self.listener.accept()
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = _Peer(self, sock)
            self.selector.register(sock, selectors.EVENT_READ, peer)
            peer.handle()

    def serve(self) -> None:
        self.selector.register(self.listener, selectors.EVENT_READ, self)
        while True:
            for key, _ in self.selector.select():
                key.data.handle()


class _Parent:
    """Stands in the selector for stdin: its end is ours."""

    def handle(self) -> None:
        if not os.read(0, 1):
            os._exit(0)


def main() -> None:
    """Serve until stdin ends; the port is the first line on stdout."""
    server = _Server(int(sys.argv[1]))
    server.selector.register(0, selectors.EVENT_READ, _Parent())
    sys.stdout.write(f"{server.listener.getsockname()[1]}\n")
    sys.stdout.flush()
    gc.disable()
    server.serve()


if __name__ == "__main__":
    main()
