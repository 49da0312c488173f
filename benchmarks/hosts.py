"""The demo's `test/` request on real server code in one process, without a network.

Import this last: what is to be measured has to be installed before the servers are imported.
"""

from __future__ import annotations

import asyncio
import os
import socket
from time import perf_counter_ns as now
from typing import Any, Final, Protocol

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.sync import SyncWorker
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from benchmarks.variants import ON_UVLOOP

_CALLER: Final = os.environ.get("BENCHMARK_TRACEPARENT", "")
_HEADERS: Final = f"traceparent: {_CALLER}\r\n" if _CALLER else ""
REQUEST: Final = f"GET /test/ HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n{_HEADERS}\r\n".encode()


class Host(Protocol):
    """Serves one request at a time."""

    def request(self) -> int:
        """Serve one request and check its answer; return nanoseconds."""


class _Application(BaseApplication):
    def init(self, parser: Any, opts: Any, args: Any) -> None:
        """Take no options."""

    def load_config(self) -> None:
        """Keep gunicorn's defaults."""

    def load(self) -> Any:
        """Load nothing: the worker is given its application."""


class Wsgi:
    """gunicorn's sync worker, one connection a request: from accept to close."""

    def __init__(self) -> None:
        from demo_site.wsgi import application  # noqa: PLC0415 - one of the two is loaded

        config = _Application().cfg
        self.worker = SyncWorker(0, os.getppid(), [], None, 30, config, Logger(config))
        self.worker.wsgi = application
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
    """uvicorn's httptools protocol, one keep-alive connection: from first byte to last."""

    def __init__(self) -> None:
        from demo_site.asgi import application  # noqa: PLC0415 - one of the two is loaded

        self.loop = self.new_loop()
        config = Config(app=application, log_config=None, access_log=False)
        config.load()
        self.state = ServerState()
        self.transport = _Transport()
        self.protocol = HttpToolsProtocol(
            config=config, server_state=self.state, app_state={}, _loop=self.loop
        )
        self.protocol.connection_made(self.transport)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop to serve on."""
        return asyncio.new_event_loop()

    def request(self) -> int:
        """Serve one request; return nanoseconds from its bytes to the last of its answer."""
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


class AsgiOnUvloop(Asgi):
    """The same on the loop that uvicorn's workers take where it is there."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return uvloop's; the other hosts, and the peers' environments, do without it."""
        import uvloop  # noqa: PLC0415

        return uvloop.new_event_loop()


HOSTS: Final[dict[str, type[Wsgi | Asgi]]] = {"wsgi": Wsgi, "asgi": Asgi, ON_UVLOOP: AsgiOnUvloop}
