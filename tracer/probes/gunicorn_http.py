"""gunicorn's own HTTP for its WSGI workers: parsing, the client's body, the answer's bytes.

Read in gunicorn 20 to 27, `http/{parser,unreader,wsgi}.py`, `util.py`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import DISCONNECT
from tracer.runtime.scopes import attempt, enter, finish_wrapper, leave, mark, scope, scoped
from tracer.runtime.seams import Probe, Seam
from tracer.runtime.streams import sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder


def _write_error(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    owner = recorder.owner("server", "send")

    @functools.wraps(original)
    def write_error(sock: Any, status_int: int, reason: Any, mesg: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None:
            return original(sock, status_int, reason, mesg)
        timeline.status = status_int
        enter(timeline, owner)
        try:
            return original(sock, status_int, reason, mesg)
        finally:
            leave(timeline, owner)
            sent(timeline)

    return write_error


def _write(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Bytes go to the kernel in here, or none: only those that go can be the last."""
    owner = recorder.owner("server", "send")

    @functools.wraps(original)
    def write(self: Any, *args: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, *args)
        before = self.sent + self.headers_sent
        enter(timeline, owner)
        try:
            return original(self, *args)
        except OSError:
            mark(timeline, DISCONNECT, 0)
            timeline.outcome = attempt("noting a disconnect", recorder.name, "disconnected") or 0
            raise
        finally:
            leave(timeline, owner)
            timeline.status = timeline.status or getattr(self, "status_code", None) or 0
            if before != self.sent + self.headers_sent or (not args and self.chunked):
                sent(timeline)

    return write


def _handle_error(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The server answers by itself: a malformed request, or an exception that reached it."""

    @functools.wraps(original)
    def handle_error(self: Any, req: Any, client: Any, addr: Any, exc: BaseException) -> Any:
        timeline = CURRENT.get()
        if timeline is not None and timeline.method:
            attempt("noting an error", recorder.note_error, timeline, exc)
            timeline.outcome = attempt("noting an error", recorder.name, "error") or 0
        elif timeline is None and req is None:
            attempt("counting a request", recorder.admit, None)
        return original(self, req, client, addr, exc)

    return handle_error


def _close(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Whose head has gone and whose body isn't chunked has sent all there is."""
    in_scope = scoped(original, recorder.owner("server", "send"))
    in_write = _write(recorder, original)

    @functools.wraps(original)
    def close(self: Any) -> Any:
        return in_scope(self) if self.headers_sent and not self.chunked else in_write(self)

    return close


def _write_file(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """`sendfile` leaves no count behind: it always sends something."""
    in_write = _write(recorder, original)

    @functools.wraps(original)
    def write_file(self: Any, respiter: Any) -> Any:
        try:
            return in_write(self, respiter)
        finally:
            timeline = CURRENT.get()
            if timeline is not None:
                sent(timeline)

    return write_file


def _chunk(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Read from the client: the request's head until it is parsed, then its body."""
    head, body = recorder.owner("server", "read"), recorder.owner("server", "body")
    if native is not None:
        return finish_wrapper(native.read_scope(CURRENT, original, body, head), original)

    @functools.wraps(original)
    def chunk(self: Any, *args: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, *args)
        owner = body if timeline.method else head
        enter(timeline, owner)
        try:
            return original(self, *args)
        finally:
            leave(timeline, owner)

    return chunk


_RESPONSE: Final = "gunicorn.http.wsgi:Response"
PROBE = Probe(
    name="gunicorn_http",
    seams=(
        Seam("gunicorn.http.parser:Parser.__next__", scope("server", "parse"), shapes=("self",)),
        Seam(
            "gunicorn.http.unreader:SocketUnreader.chunk",
            _chunk,
            shapes=("self", "self, size_hint"),
        ),
        Seam(f"{_RESPONSE}.write", _write, shapes=("self, arg",)),
        Seam(f"{_RESPONSE}.close", _close, shapes=("self",)),
        Seam(f"{_RESPONSE}.write_file", _write_file, shapes=("self, respiter",)),
        Seam(
            "gunicorn.workers.base:Worker.handle_error",
            _handle_error,
            shapes=("self, req, client, addr, exc",),
        ),
        Seam(
            "gunicorn.util:write_error",
            _write_error,
            shapes=("sock, status_int, reason, mesg",),
        ),
        Seam(
            "gunicorn.util:close_graceful",
            scope("server", "close"),
            shapes=("sock, timeout, max_drain",),
            optional=True,
        ),
        Seam("gunicorn.glogging:Logger.access", scope("server", "access log")),
    ),
)
