from __future__ import annotations

import contextlib
import os
import socket
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def _interrupted(ctrl_c):
    """Clients and servers are interrupted here."""


class Scripted:
    """A server in threads: `behave(sock, head, number)` answers; False closes the connection."""

    def __init__(self, behave):
        self.behave = behave
        self.heads = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.sockets.append(sock)
            thread = threading.Thread(target=self.converse, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def converse(self, sock):
        buffer = b""
        with sock, contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = sock.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                self.rest = buffer
                self.heads.append(head)
                if self.behave(sock, head, len(self.heads)) is False:
                    return

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:

        def start(behave):
            server = Scripted(behave)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def ok():
    return OK


SCRIPT = """
    import os, socketserver, sys, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        count = 0

        def do_GET(self):
            Handler.count += 1
            if Handler.count == int(os.environ.get("DIES_AT", "0")):
                os._exit(7)
            if self.path == "/hang":
                time.sleep(60)
            status = {"/500": 500, "/404": 404}.get(self.path, 200)
            body = b"pid %d" % os.getpid()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if os.environ.get("SEEN"):
                with open(os.environ["SEEN"], "a") as seen:
                    header = self.headers.get("traceparent") or "-"
                    seen.write(f"{status} {header} {time.perf_counter_ns()}\\n")

        def log_message(self, *args):
            pass

    print("about to listen", flush=True)
    ThreadingHTTPServer.request_queue_size = 64
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def command(tmp_path):
    """The command of a small real HTTP server."""
    script = tmp_path / "little_server.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return f"{sys.executable} {script} {{port}}"


def alive(pid):
    """Whether a process runs; one that has ended and only isn't reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def ends():
    """Wait until no process with the text in its command line is left."""

    def wait(text, seconds=8):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            left = processes_with(text)
            if not left:
                return True
            time.sleep(0.05)
        return False

    return wait


def processes_with(text):
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes()
                if text.encode() in words and alive(folder.name):
                    found.append(int(folder.name))
    return found
