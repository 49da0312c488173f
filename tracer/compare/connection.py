"""One client connection: sends a request's bytes, stamps and parses its answer."""

from __future__ import annotations

import errno
import re
import selectors
import socket
import struct
from contextlib import suppress
from time import perf_counter_ns
from typing import Final, Protocol

import httptools

from tracer.compare.wire import ERRORS

TIMEOUT, REFUSED, LOST, MALFORMED = (
    ERRORS.index(name) for name in ("timeout", "refused", "lost", "malformed")
)
_READ_SIZE: Final = 1 << 16
_ANCILLARY_SIZE: Final = 128
_SO_TIMESTAMPNS: Final = 35
_FINAL_STATUS: Final = 200
_TIMESPEC: Final = struct.Struct("qq")
_FRAMED: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding)\s*:", re.IGNORECASE)
_READ_WRITE: Final = selectors.EVENT_READ | selectors.EVENT_WRITE


class Owner(Protocol):
    """Who issues requests: what a connection needs to know of it, and tells it."""

    address: tuple[str, int]
    selector: selectors.DefaultSelector
    keep_alive: bool
    head_only: bool
    may_resend: bool
    bytes_received: int
    connections: int

    def ended(self, connection: Connection, error: int) -> None:
        """One request is over; `error` indexes `ERRORS`."""


class Connection:
    """A socket that is opened when a request needs it, with one request at a time.

    `index` is the request in flight, -1 while idle.
    """

    __slots__ = (
        "ancillary",
        "complete",
        "first_ns",
        "fresh",
        "head",
        "headers_done",
        "index",
        "keep",
        "last_ns",
        "owner",
        "parser",
        "pending",
        "request",
        "resent",
        "scheduled_ns",
        "send_ns",
        "sock",
        "status",
        "writing",
    )

    def __init__(self, owner: Owner) -> None:
        """Make an idle connection without a socket."""
        self.owner = owner
        self.sock: socket.socket | None = None
        self.index = -1

    def start(self, index: int, request: bytes, scheduled_ns: int = 0) -> None:
        """Send `request`; the owner hears of its end, at once if it can't be sent."""
        self.index = index
        self.request = request
        self.head = b""
        self.first_ns = self.last_ns = self.status = 0
        self.complete = self.headers_done = self.resent = False
        self.ancillary: list[tuple[int, int, bytes]] = []
        self.fresh = self.sock is None
        sock = self.sock or self._make_socket()
        self.send_ns = perf_counter_ns()
        self.scheduled_ns = scheduled_ns or self.send_ns
        self._dispatch(sock)

    def _make_socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # not Linux: the own delay stays 0
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.parser = httptools.HttpResponseParser(self)
        self.owner.connections += 1
        return sock

    def _dispatch(self, sock: socket.socket) -> None:
        opening = self.sock is None
        self.pending: bytes | memoryview = self.request
        self.writing = False
        if opening:
            self.sock = sock
            code = sock.connect_ex(self.owner.address)
            if code not in (0, errno.EINPROGRESS):
                sock.close()
                self.sock = None
                self._end(REFUSED if code == errno.ECONNREFUSED else LOST)
                return
        # Over loopback the connection is usually there already: no wait for writability.
        self._write(sock, register=opening)

    def _write(self, sock: socket.socket, *, register: bool = False) -> None:
        failure: OSError | None = None
        try:
            self.pending = self.pending[sock.send(self.pending) :]
        except BlockingIOError:
            pass
        except OSError as error:
            failure = error
        events = _READ_WRITE if self.pending else selectors.EVENT_READ
        if register:
            self.owner.selector.register(sock, events, self)
        elif bool(self.pending) is not self.writing:
            self.owner.selector.modify(sock, events, self)
        self.writing = bool(self.pending)
        if failure is not None:
            self._broken(REFUSED if isinstance(failure, ConnectionRefusedError) else LOST)

    def handle(self, events: int) -> None:
        """React to the socket being readable or writable."""
        sock = self.sock
        if sock is None:  # closed by an event before this one
            return
        if events & selectors.EVENT_WRITE:
            self._write(sock)
        if events & selectors.EVENT_READ and self.sock is sock:
            self._read(sock)

    def _read(self, sock: socket.socket) -> None:
        try:
            data, ancillary, _, _ = sock.recvmsg(_READ_SIZE, _ANCILLARY_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(REFUSED if isinstance(error, ConnectionRefusedError) else LOST)
            return
        now = perf_counter_ns()
        if self.index < 0:  # an idle connection closed by the server, or bytes nobody asked for
            self.close()
            return
        if not data:
            self._ended_by_server()
            return
        self.first_ns = self.first_ns or now
        self.last_ns = now
        self.ancillary = ancillary
        self.owner.bytes_received += len(data)
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if not self.headers_done:
            self.head += data
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.complete:
                self.fail(MALFORMED)
                return
            self.keep = False
        if self.complete:
            if not (self.keep and self.owner.keep_alive):
                self.close()
            self._end(0)

    def on_headers_complete(self) -> None:
        """Take note of the head; for HEAD that is all there is."""
        status = self.parser.get_status_code()
        if status < _FINAL_STATUS:
            return
        self.headers_done = True
        self.status = status
        if self.owner.head_only:
            self.keep = self.parser.should_keep_alive()
            self.complete = True
            self.parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        """Take note of the end of an answer; 1xx are none, a second one spoils the connection."""
        if self.headers_done:
            self.keep = not self.complete and self.parser.should_keep_alive()
            self.complete = True

    def _ended_by_server(self) -> None:
        if self.headers_done and not _FRAMED.search(self.head.partition(b"\r\n\r\n")[0]):
            self.close()
            self._end(0)
        else:
            self._broken(LOST)

    def _broken(self, error: int) -> None:
        if self.index < 0:
            self.close()
        elif self._lost_the_race():
            self.close()
            self.resent = self.fresh = True
            self._dispatch(self._make_socket())
        else:
            self.fail(error)

    def _lost_the_race(self) -> bool:
        # The server closed a kept connection just as this request was sent on it.
        reused = not self.fresh and not self.first_ns
        return reused and not self.resent and self.owner.may_resend

    def fail(self, error: int) -> None:
        """Close the connection and end its request without an answer."""
        self.close()
        self.status = 0
        self._end(error)

    def _end(self, error: int) -> None:
        self.owner.ended(self, error)
        self.index = -1

    def close(self) -> None:
        """Close the socket, if there is one."""
        sock, self.sock = self.sock, None
        if sock is not None:
            self.owner.selector.unregister(sock)
            sock.close()
            del self.parser

    def arrived_unix_ns(self) -> int:
        """Return when the kernel had the last bytes that were read, 0 if it didn't say."""
        for level, kind, data in self.ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack(data)
                return int(seconds) * 1_000_000_000 + int(nanoseconds)
        return 0
