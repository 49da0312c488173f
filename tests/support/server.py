"""Real servers for tests: started on a free port, asked, ended; and what was recorded of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tracer.model.native import PURE

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"

UVICORN = ("uvicorn", "--port", "{port}", "--log-level", "warning")
GUNICORN = ("gunicorn", "--bind", f"{HOST}:{{port}}", "--log-level", "warning")
UVICORN_WORKER = ("-k", "uvicorn_worker.UvicornWorker")
_WORDS = {
    "uvicorn-h11-asyncio": (*UVICORN, "--http", "h11", "--loop", "asyncio"),
    "uvicorn-httptools-uvloop": (*UVICORN, "--http", "httptools", "--loop", "uvloop"),
    "gunicorn-sync": GUNICORN,
    "gunicorn-gthread": (*GUNICORN, "--threads", "4"),
    "gunicorn-uvicorn": (*GUNICORN, *UVICORN_WORKER),
}
NAMES = {
    "uvicorn-h11-asyncio": ("uvicorn", "asyncio", "h11"),
    "uvicorn-httptools-uvloop": ("uvicorn", "uvloop", "httptools"),
    "gunicorn-sync": ("gunicorn.sync", None, None),
    "gunicorn-gthread": ("gunicorn.gthread", None, None),
    "gunicorn-uvicorn": ("gunicorn.uvicorn", "uvloop", "httptools"),
}
"""What a report says of each: server, loop, HTTP implementation."""

ASGI = [name for name, (_, loop, _) in NAMES.items() if loop]
WSGI = [name for name, (_, loop, _) in NAMES.items() if not loop]


def command_of(name, site="demo_site"):
    """Return the words that serve a site, a package with `asgi` and `wsgi`; `{port}` stays."""
    interface = "asgi" if name in ASGI else "wsgi"
    return (*_WORDS[name], f"{site}.{interface}:application")


SERVERS = {name: command_of(name) for name in _WORDS}
"""How each serves the demo."""


def free_port():
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


def environment(*paths, **variables):
    """Return this process's environment without anything of a tracer's, and what is given."""
    base = {
        name: value
        for name, value in os.environ.items()
        if name == PURE
        or not name.startswith(
            ("TRACER_", "PYTHONPATH", "PYTHONASYNCIODEBUG", "DEMO_", "DJANGO_SETTINGS")
        )
    }
    path = os.pathsep.join(str(one) for one in (*paths, ROOT))
    return {**base, "PYTHONPATH": path, **variables}


class Server:
    """A server command that runs until `stop`; `{port}` in it becomes a free port."""

    def __init__(self, command, env, log, *, cwd=None, python=sys.executable):
        self.port = free_port()
        self.log = log
        words = [word.replace("{port}", str(self.port)) for word in command]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [python, "-m", *words],
                env=env,
                cwd=cwd or log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
                return self
            time.sleep(0.02)
        self.__exit__()
        raise AssertionError(f"the server did not start:\n{self.output}")

    def __exit__(self, *_error):
        self.stop(signal.SIGKILL)

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def ask(self, path="/test/", method="GET", body=None, headers=None):
        """Return status and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self, number=signal.SIGTERM):
        """End it with a signal, its workers too where it is a killing one; return its exit code."""
        if self.process.poll() is None:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        return self.process.wait(20)


def tracer(*arguments, **options):
    """Run the command `tracer` to its end."""
    known = {"env": environment(), "capture_output": True, "text": True, "timeout": 60}
    return subprocess.run(
        [sys.executable, "-m", "tracer", *map(str, arguments)],
        check=False,
        **{**known, **options},
    )


def requests_in(recording, *options):
    """Return the requests of a recording as `tracer report --format jsonl` gives them."""
    done = tracer("report", recording, "--format", "jsonl", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def wait_for(condition, seconds=10):
    """Return whether the condition came to hold in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def processes_of(text):
    """Return pid and words of every process that has a text in its command line."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(text) in line:
                    yield int(entry.name), line.split("\0")


def agents_of(text):
    """Return the pids of the agents with a text in their command line."""
    return [
        pid for pid, words in processes_of(text) if words[1:3] == ["-m", "tracer.agent.process"]
    ]


def guardians_of(text):
    """Return the pids of the shells that start those agents again."""
    return [pid for pid, words in processes_of(text) if "tracer-guardian" in words]
