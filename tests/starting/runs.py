"""Servers under `tracer run`, and the account of what they were asked and what was recorded."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.server import HOST, Server, agents_of, environment, tracer, wait_for

WSGI, ASGI = "demo_site.wsgi", "demo_site.asgi:application"


@dataclass
class StartedRun:
    """One server command under `tracer run`, in a directory of its own."""

    directory: Path
    command: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    background: bool = False
    answered: int = 0
    others: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.recording = self.directory / "site.tracer"

    def __enter__(self):
        env = environment(
            self.directory,
            DEMO_DATABASE=str(self.directory / "demo.sqlite3"),
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **self.variables,
        )
        traced = ("tracer", "run", "--record", str(self.recording), "--", *self.command)
        self.server = Server(traced, env, self.directory / "log")
        if self.background:
            assert wait_for(self.listens), self.server.output
        else:
            self.server.__enter__()
        return self

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.server.port), 1):
            return True
        return False

    def __exit__(self, *_error):
        self.server.__exit__()
        for pid in self.others:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        for pid in agents_of(self.recording):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    @property
    def pid(self):
        return self.server.process.pid

    def signal(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def ask(self, times=1, path="/test/"):
        """Ask and count the answers; each must be right."""
        for _ in range(times):
            status, body = self.server.ask(path)
            assert status == 200, (status, body, self.server.output)
            self.answered += 1

    def in_flight(self, path="/sleep/?ms=700"):
        """Ask something slow beside; return what waits for its answer."""
        asking = threading.Thread(target=self.ask, args=(1, path))
        asking.start()
        return asking

    def ask_until(self, condition, seconds=15):
        """Ask until the condition holds.

        uvicorn closes connections that it has accepted and not read when it ends: with
        us or without, who asked then has to ask again. What it read it answers.
        """

        def asked():
            with contextlib.suppress(ConnectionError):
                self.ask()
            return condition()

        assert wait_for(asked, seconds), self.server.output

    def workers(self):
        return children(self.pid)

    def ended(self):
        """Wait for the agent's end; return recorded and dropped, and who recorded."""
        assert wait_for(lambda: not agents_of(self.recording), 10), "an agent is left behind"
        done = tracer("report", self.recording, "--format", "json")
        assert done.returncode == 0, done.stderr
        (one,) = json.loads(done.stdout)["configurations"]
        return one["requests"], one["dropped_timelines"]

    def assert_counts(self):
        recorded, dropped = self.ended()
        assert recorded + dropped == self.answered
        assert dropped == 0


def children(pid):
    """Return the pids of a process's children that still run, or wait for."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry.name))
    return sorted(found)
