"""Clients that misbehave, each in its own way; what a server answers them is returned."""

from __future__ import annotations

import contextlib
import re
import socket
import struct

from tests.support.server import HOST

CLOSE = b"Host: x\r\nConnection: close\r\n"


def talk(port, *pieces, read=True, reset=False):
    """Send bytes, then read all there is, or go away: politely or by a reset."""
    with socket.create_connection((HOST, port), 10) as sock:
        with contextlib.suppress(ConnectionError):  # a server may have heard enough
            for piece in pieces:
                sock.sendall(piece)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        got = b""
        with contextlib.suppress(ConnectionError):
            while read and (data := sock.recv(65536)):
                got += data
        return got


def get(path, *headers):
    return b"GET " + path + b" HTTP/1.1\r\n" + b"".join(h + b"\r\n" for h in headers) + CLOSE


def statuses(answer):
    """Return the status of each answer in the bytes of a connection."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


def gone_before_a_word(port):
    talk(port, read=False)


def gone_in_the_head(port):
    talk(port, b"GET /test/ HTTP/1.1\r\nHo", read=False)


def gone_in_the_body(port):
    head = b"POST /upload/ HTTP/1.1\r\nContent-Length: 5000\r\n" + CLOSE
    talk(port, head + b"\r\n" + b"." * 100, read=False)


def gone_in_the_response(port):
    """1.6 MB that nobody reads: more than the kernel's buffers take."""
    with socket.create_connection((HOST, port), 10) as sock:
        sock.sendall(get(b"/stream/sync/?chunks=16&bytes=1000000&ms=1") + b"\r\n")
        sock.recv(100)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_closed(port):
    """Says that it will send no more, and waits for its answer."""
    with socket.create_connection((HOST, port), 10) as sock:
        sock.sendall(get(b"/test/") + b"\r\n")
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while data := sock.recv(65536):
            got += data
        return statuses(got)


def garbage(port):
    return statuses(talk(port, b"\x00\xff\x16\x03 what is this?\r\n\r\n"))


def a_header_of_garbage(port):
    return statuses(talk(port, get(b"/test/", b"X-\x00\xff: \x01\xfe") + b"\r\n"))


def a_header_of_one_megabyte(port):
    return statuses(talk(port, get(b"/test/", b"X-Long: " + b"x" * 1_000_000) + b"\r\n"))


def headers_of_w3c_that_are_none(port):
    """One after the other: each must be answered, and none may be believed."""
    wrong = (
        b"",
        b"00",
        b"00-0-0-0",
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
        b"ff-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"g" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"\xff" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"a" * 3_000,
    )
    found = []
    for value in wrong:
        states = b"tracestate: " + b"," * 100 + value + b"=;th:x"
        request = get(b"/test/", b"traceparent: " + value, states, b"traceparent: " + value)
        found += statuses(talk(port, request + b"\r\n"))
    return found


def paths_that_are_no_utf_8(port):
    return [
        statuses(talk(port, get(path) + b"\r\n"))
        for path in (b"/%ff%fe%00/", b"/%ed%a0%80/", b"/\xff\xfe/", b"/test/?%ff=%fe", b"//%2e%2e/")
    ]


def pipelined(port):
    """Five requests in one piece, on a server that answers all of them or the first."""
    one = b"GET /test/ HTTP/1.1\r\nHost: x\r\n\r\n"
    return statuses(talk(port, one * 4 + get(b"/test/") + b"\r\n"))


EVERY = (
    gone_before_a_word,
    gone_in_the_head,
    gone_in_the_body,
    gone_in_the_response,
    half_closed,
    garbage,
    a_header_of_garbage,
    a_header_of_one_megabyte,
    headers_of_w3c_that_are_none,
    paths_that_are_no_utf_8,
    pipelined,
)
