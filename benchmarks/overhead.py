"""What tracing adds to one request, at 100 % sampling: paired and interleaved in one process.

    python benchmarks/overhead.py [--pairs N] [--batch N]

The demo's `test/` request is served by gunicorn's sync worker over a socket pair and
by uvicorn's httptools protocol on an asyncio loop. Batches with and without tracing
alternate; figures are medians over requests, and the added time is the median of the
differences of the batches' medians. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns as now
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
sys.path.insert(0, str(Path(__file__).parent.parent))

import django

django.setup()

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.sync import SyncWorker
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

import tracer
from tracer.ring import RingReader, RingWriter

RING = 1024 * 1024
REQUEST = b"GET /test/ HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"


class _Application(BaseApplication):
    def init(self, parser: Any, opts: Any, args: Any) -> None:
        """Take no options."""

    def load_config(self) -> None:
        """Keep gunicorn's defaults."""

    def load(self) -> Any:
        """Load nothing: the worker is given its application."""


class Wsgi:
    """gunicorn's sync worker, one connection a request."""

    def __init__(self) -> None:
        application = _Application()
        config = application.cfg
        self.worker = SyncWorker(0, os.getppid(), [], application, 30, config, Logger(config))
        self.worker.wsgi = WSGIHandler()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))

    def request(self) -> int:
        """Serve one request; return nanoseconds from handing it over to the end of its answer."""
        ours, theirs = socket.socketpair()
        ours.sendall(REQUEST)
        ours.shutdown(socket.SHUT_WR)
        start = now()
        self.worker.handle(self.listener, theirs, ("127.0.0.1", 1))
        elapsed = now() - start
        assert ours.recv(4096).startswith(b"HTTP/1.1 200")
        ours.close()
        return elapsed


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.done: asyncio.Future[None] | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give the addresses uvicorn asks for."""
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 1)}.get(name, default)

    def write(self, data: bytes) -> None:
        """Keep what is written."""
        self.written += data
        if self.done is not None and self.written.endswith(b"}"):
            self.done.set_result(None)
            self.done = None

    def is_closing(self) -> bool:
        """Stay open."""
        return False

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Asgi:
    """uvicorn's httptools protocol, one keep-alive connection, no socket."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        config = Config(app=ASGIHandler(), log_config=None, access_log=False)
        config.load()
        self.state = ServerState()
        self.transport = _Transport()
        self.protocol = HttpToolsProtocol(
            config=config, server_state=self.state, app_state={}, _loop=self.loop
        )
        self.protocol.connection_made(self.transport)

    def request(self) -> int:
        """Serve one request; return nanoseconds from its bytes to the end of its task."""
        return self.loop.run_until_complete(self._request())

    async def _request(self) -> int:
        self.transport.written = b""
        self.transport.done = done = self.loop.create_future()
        start = now()
        self.protocol.data_received(REQUEST)
        await done
        elapsed = now() - start
        await asyncio.gather(*self.state.tasks)
        assert self.transport.written.startswith(b"HTTP/1.1 200")
        return elapsed


def measure(make: Callable[[], Any], pairs: int, batch: int, directory: Path) -> dict[str, Any]:
    """Return what tracing adds to one request."""
    plain = make()
    sink = RingWriter(directory, RING)
    tracer.install(sink)
    traced = make()
    tracer.uninstall()
    ring: RingReader | None = None
    for _ in range(200):
        plain.request()
    medians: list[tuple[float, float]] = []
    everything: tuple[list[int], list[int]] = ([], [])
    for number in range(pairs):
        found: dict[bool, float] = {}
        for on in (False, True) if number % 2 else (True, False):
            if on:
                tracer.install(sink)
                if not medians:
                    for _ in range(200):
                        traced.request()
            taken = [(traced if on else plain).request() for _ in range(batch)]
            if on:
                tracer.uninstall()
                ring = ring or RingReader(next(directory.glob("*.ring")))
                for _ in ring.frames():
                    pass
            found[on] = statistics.median(taken)
            everything[on].extend(taken)
        medians.append((found[False], found[True]))
    added = [on - off for off, on in medians]
    ratios = [on / off for off, on in medians]
    off, on = (statistics.median(samples) for samples in everything)
    return {
        "untraced_p50_ns": round(off),
        "traced_p50_ns": round(on),
        "added_p50_ns": round(statistics.median(added)),
        "added_p50_quartiles_ns": [round(q) for q in statistics.quantiles(added, n=4)[::2]],
        "ratio": round(statistics.median(ratios), 4),
        "requests": pairs * batch,
    }


def memory_growth(make: Callable[[], Any], directory: Path, requests: int) -> dict[str, int]:
    """Return resident memory of this process before and after many traced requests, in bytes."""
    tracer.install(RingWriter(directory, RING))
    served = make()
    for _ in range(requests // 10):
        served.request()
    before = _resident()
    for _ in range(requests):
        served.request()
    after = _resident()
    tracer.uninstall()
    return {"requests": requests, "before": before, "after": after, "growth": after - before}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def import_time_ns() -> int:
    """Return the median of what `import tracer` and its probes cost a process that has Django."""
    code = (
        "import django, asgiref.sync, asyncio, logging; from time import perf_counter_ns as n;"
        "s = n(); import tracer, tracer.setup, tracer.probes; tracer.probes.all_probes();"
        "print(n() - s)"
    )
    runs = [
        int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(9)
    ]
    return round(statistics.median(runs))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--memory", type=int, default=20_000, help="requests; 0: leave out")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"schema": "tracer.overhead/1", "python": sys.version.split()[0]}
    result["django"] = django.get_version()
    for name, make in (("wsgi", Wsgi), ("asgi", Asgi)):
        with tempfile.TemporaryDirectory() as directory:
            result[name] = measure(make, arguments.pairs, arguments.batch, Path(directory))
        if arguments.memory:
            with tempfile.TemporaryDirectory() as directory:
                result[name]["memory"] = memory_growth(make, Path(directory), arguments.memory)
    result["import_ns"] = import_time_ns()
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


__all__ = ["Asgi", "Wsgi", "measure"]

if __name__ == "__main__":
    main()
