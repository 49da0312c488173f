"""Django's development server: one thread a connection, kept alive or not.

Read in Django 4.2 to 6.1, `core/servers/basehttp.py`. A request begins when its first line
was read: the server blocks for it, so what it waits for before is nobody's request yet.
"""

from __future__ import annotations

import functools
import itertools
from threading import get_ident as ident
from threading import get_native_id as native_id
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.timeline import DISCONNECT, DONE, ENTER, OS_THREAD, ROOT, STEP
from tracer.model.traceparent import HEADERS
from tracer.runtime.scopes import attempt, enter, leave, mark, mark_at, scope, scoped
from tracer.runtime.seams import Probe, Seam
from tracer.runtime.streams import sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

_CONNECTION: Final = "_tracer_connection"
_TOUCH: Final = "_tracer_touch"
_CONTEXT: Final = HEADERS.lower
_connections = itertools.count(1)


def _handle_one(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle_one_request(self: Any) -> Any:
        token = CURRENT.set(None)
        try:
            return original(self)
        finally:
            timeline = CURRENT.get()
            CURRENT.reset(token)
            touched = self.__dict__.pop(_TOUCH, 0)
            if timeline is not None:
                attempt("closing a timeline", _close, recorder, timeline, self)
            elif touched and not recorder.reached:
                attempt("showing what was counted", recorder.answered)

    return handle_one_request


def _close(recorder: Recorder, timeline: Timeline, handler: Any) -> None:
    mark(timeline, DONE, ROOT)
    version = (handler.request_version or "").removeprefix("HTTP/")
    came_in = ("http", handler.server.server_address, version)
    timeline.endpoint = attempt("noting an endpoint", recorder.endpoint, *came_in) or 0
    timeline.outcome = timeline.outcome or recorder.name("complete")
    recorder.close(timeline)


def _touch(handler: Any) -> None:
    handler.__dict__[_TOUCH] = now() if handler.raw_requestline else 0


def _parse(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The first line is there: a request has begun, or the client has gone."""

    @functools.wraps(original)
    def parse_request(self: Any) -> Any:
        attempt("noting a first line", _touch, self)
        understood = original(self)
        if understood:
            attempt("opening a timeline", _open_parsed, recorder, self)
        return understood

    return parse_request


def _open_parsed(recorder: Recorder, handler: Any) -> None:
    read_headers = functools.partial(_headers, handler.headers)
    timeline = _open(recorder, handler, handler.path.partition("?")[0], read_headers)
    if timeline is not None:
        timeline.method = recorder.method(handler.command)


def _headers(headers: Any) -> dict[str, str]:
    return {
        name: value
        for name, value in ((name.lower(), value) for name, value in headers.items())
        if name in _CONTEXT
    }


def _open(recorder: Recorder, handler: Any, *head: Any) -> Timeline | None:
    state, here = handler.__dict__, ident()
    start = state[_TOUCH] or now()
    timeline = recorder.open("wsgi", "runserver", start, *head)
    if timeline is not None:
        if _CONNECTION not in state:
            state[_CONNECTION] = next(_connections)
        timeline.connection = state[_CONNECTION]
        owner = recorder.owner("server", "parse")
        mark(timeline, OS_THREAD, native_id())
        mark_at(timeline, (STEP, start, here, ROOT))
        mark_at(timeline, (ENTER, start, here, owner))
        leave(timeline, owner)
        CURRENT.set(timeline)
    return timeline


def _write(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Unbuffered: what was written has been handed to the kernel."""
    owner = recorder.owner("server", "send")

    @functools.wraps(original)
    def _write(self: Any, data: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, data)
        enter(timeline, owner)
        try:
            return original(self, data)
        except OSError:
            mark(timeline, DISCONNECT, 0)
            timeline.outcome = attempt("noting a disconnect", recorder.name, "disconnected") or 0
            raise
        finally:
            leave(timeline, owner)
            timeline.status = attempt("noting a status", _code, self.status) or 0
            sent(timeline)

    return _write


def _code(status: str | None) -> int:
    return int((status or "0").split(" ", 1)[0])


def _send_error(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The server answers by itself: it doesn't understand the request."""
    owner = recorder.owner("server", "send")

    @functools.wraps(original)
    def send_error(self: Any, code: Any, message: Any = None, explain: Any = None) -> Any:
        timeline = CURRENT.get()
        if timeline is None and self.__dict__.get(_TOUCH):
            timeline = attempt("opening a timeline", _open, recorder, self)
        if timeline is None:
            return original(self, code, message, explain)
        timeline.status = int(code)
        enter(timeline, owner)
        try:
            return original(self, code, message, explain)
        finally:
            leave(timeline, owner)
            sent(timeline)

    return send_error


def _setup_environ(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever reads the body waits for the client: that is the server's, on this one stream."""
    owner = recorder.owner("server", "body")

    @functools.wraps(original)
    def setup_environ(self: Any) -> Any:
        original(self)
        if CURRENT.get() is not None:
            attempt("watching the body", _watch_body, self.environ["wsgi.input"], owner)

    return setup_environ


def _watch_body(stream: Any, owner: int) -> None:
    for name in ("read", "readline"):
        stream.__dict__[name] = scoped(getattr(stream, name), owner)


_HANDLER: Final = "django.core.servers.basehttp:WSGIRequestHandler"
_RESPONSE: Final = "django.core.servers.basehttp:ServerHandler"
PROBE = Probe(
    name="runserver",
    seams=(
        Seam(f"{_HANDLER}.handle_one_request", _handle_one, shapes=("self",)),
        Seam(f"{_HANDLER}.parse_request", _parse, shapes=("self",)),
        Seam(f"{_HANDLER}.send_error", _send_error, shapes=("self, code, message, explain",)),
        Seam(
            f"{_HANDLER}.log_message",
            scope("server", "access log"),
            shapes=("self, format, *args",),
        ),
        Seam(f"{_RESPONSE}.setup_environ", _setup_environ, shapes=("self",)),
        Seam(f"{_RESPONSE}._write", _write, shapes=("self, data",)),
    ),
)
