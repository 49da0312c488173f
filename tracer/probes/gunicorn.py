"""gunicorn's WSGI workers, sync and gthread: from accepting a connection to letting it go.

Read in gunicorn 20 to 27, `workers/{base,sync,gthread}.py`.
"""

from __future__ import annotations

import functools
from threading import get_ident as ident
from threading import get_native_id as native_id
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.timeline import DONE, OS_THREAD, QUEUED, ROOT, STEP
from tracer.model.traceparent import HEADERS
from tracer.runtime.connections import connection_state_of, numbers
from tracer.runtime.identity import head_of
from tracer.runtime.sampling import DROPPED, UNSEEN
from tracer.runtime.scopes import attempt, disarm, mark, mark_at, scope
from tracer.runtime.seams import Probe, Seam

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

_CONTEXT: Final = HEADERS.upper


def _init_process(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """A worker knows its class only here; everything it serves carries the name."""

    @functools.wraps(original)
    def init_process(self: Any) -> Any:
        recorder.server_name = _worker_name(type(self).__mro__)
        attempt("making a ring", _make_ring, recorder)
        return original(self)

    return init_process


def _make_ring(recorder: Recorder) -> None:
    """While the worker still may: the original changes its user, and serving hasn't begun."""
    make = getattr(recorder.sink, "open", None)
    if make is not None:
        make()


@functools.cache
def _worker_name(kinds: tuple[type, ...]) -> str:
    for kind in kinds:
        if kind.__name__ == "UvicornWorker":
            return "gunicorn.uvicorn"
        if kind.__module__.startswith("gunicorn.workers."):
            return f"gunicorn.{kind.__module__.rpartition('.')[2]}"
    return f"gunicorn.{kinds[0].__module__}.{kinds[0].__qualname__}"


def _touch(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The server's first touch: it is about to take a connection or found one readable."""

    @functools.wraps(original)
    def touching(self: Any, *args: Any) -> Any:
        connection_state_of(self).touch = now()
        return original(self, *args)

    return touching


def _enqueue(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def enqueue_req(self: Any, conn: Any) -> Any:
        connection_state_of(conn).touch = connection_state_of(self).touched() or now()
        return original(self, conn)

    return enqueue_req


def _handle_sync(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle(self: Any, listener: Any, client: Any, addr: Any) -> Any:
        start = connection_state_of(self).touched() or now()
        timeline = _open(recorder, self, start, next(numbers))
        serve = functools.partial(original, self, listener, client, addr)
        if timeline is None:
            return _serve_unseen(recorder, serve)
        return _serve(recorder, timeline, serve, listener)

    return handle


def _handle_gthread(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle(self: Any, conn: Any) -> Any:
        touches = connection_state_of(conn)
        start = touches.touched() or now()
        serve = functools.partial(original, self, conn)
        timeline = _open(recorder, self, start, touches.number)
        if timeline is None:
            return _serve_unseen(recorder, serve)
        mark(timeline, QUEUED, 0)
        return _serve(recorder, timeline, serve, conn)

    return handle


def _finish_request(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The main thread takes a connection back: until then its next request isn't seen."""
    name = recorder.name("gunicorn: finish_request")

    @functools.wraps(original)
    def finish_request(self: Any, conn: Any, fs: Any) -> Any:
        start = now()
        try:
            return original(self, conn, fs)
        finally:
            attempt("logging a connection", recorder.occupy, start, now(), None, name)

    return finish_request


def _open(recorder: Recorder, worker: Any, start_ns: int, connection: int) -> Timeline | None:
    try:
        name = recorder.server_name or _worker_name(type(worker).__mro__)
        timeline = recorder.open_early("wsgi", name, start_ns)
        if timeline is not None:
            timeline.connection = connection
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(None, "opening a timeline")
        return None
    return timeline


def _serve(recorder: Recorder, timeline: Timeline, handle: Callable[[], Any], socket: Any) -> Any:
    here = ident()
    mark(timeline, OS_THREAD, native_id())
    mark_at(timeline, (STEP, timeline.start_ns, here, ROOT))
    token = CURRENT.set(timeline)
    try:
        return handle()
    finally:
        CURRENT.reset(token)
        mark(timeline, DONE, ROOT)
        attempt("closing a timeline", _close, recorder, timeline, socket)


def _serve_unseen(recorder: Recorder, handle: Callable[[], Any]) -> Any:
    """Serve a request where none is recorded; what is counted is shown after the first."""
    try:
        return handle()
    finally:
        if not recorder.reached:
            attempt("showing what was counted", recorder.answered)


def _occupy_unseen(recorder: Recorder, start_ns: int) -> None:
    """A request that isn't recorded keeps its thread busy all the same."""
    recorder.answered()
    recorder.occupy(start_ns, now(), None, recorder.name(UNSEEN))


def _close(recorder: Recorder, timeline: Timeline, socket: Any) -> None:
    if timeline.verdict is None and timeline.status:
        recorder.admit(timeline)
    if timeline.verdict is None:
        timeline.drop()
    elif timeline.verdict is DROPPED:
        _occupy_unseen(recorder, timeline.start_ns)
    else:
        timeline.outcome = timeline.outcome or recorder.name("complete")
        start, end = timeline.start_ns, now()
        if not recorder.busy.note(timeline, start, end):
            recorder.occupy(start, end, timeline)
        timeline.endpoint = (
            attempt("noting an endpoint", _endpoint, recorder, timeline, socket) or 0
        )
        recorder.close(timeline)


def _endpoint(recorder: Recorder, timeline: Timeline, socket: Any) -> int:
    """Return the number of where the request came in: the socket that gunicorn was given."""
    request = head_of(timeline)
    if request is None:
        return 0
    bound = socket.server if hasattr(socket, "server") else _listening_at(socket)
    return recorder.endpoint(request.scheme, bound, request.version)


@functools.lru_cache(maxsize=64)
def _listening_at(socket: Any) -> Any:
    return socket.getsockname()


def _handle_request(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The request is parsed: what it is, is known from here on."""

    @functools.wraps(original)
    def handle_request(self: Any, *args: Any) -> Any:
        timeline = CURRENT.get()
        wanted = False
        try:
            request = args[1] if len(args) > 2 else args[0]  # noqa: PLR2004
            wanted = recorder.admit(timeline, request.path, functools.partial(_headers, request))
            if timeline is not None and wanted:
                timeline.method = recorder.method(request.method)
        except Exception:  # noqa: BLE001 - a request never fails because of us
            wanted = False
            disarm(None, "reading a request")
        if timeline is not None and not wanted:
            CURRENT.set(None)
        return original(self, *args)

    return handle_request


def _headers(request: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers if name in _CONTEXT}


_WORKERS: Final = "gunicorn.workers"
PROBE = Probe(
    name="gunicorn",
    seams=(
        Seam(f"{_WORKERS}.base:Worker.init_process", _init_process, shapes=("self",)),
        Seam(f"{_WORKERS}.sync:SyncWorker.accept", _touch, shapes=("self, listener",)),
        Seam(
            f"{_WORKERS}.sync:SyncWorker.handle",
            _handle_sync,
            shapes=("self, listener, client, addr",),
        ),
        Seam(
            f"{_WORKERS}.sync:SyncWorker.handle_request",
            _handle_request,
            shapes=("self, listener, req, client, addr",),
        ),
        Seam(f"{_WORKERS}.gthread:ThreadWorker.accept", _touch, shapes=("self, listener",)),
        Seam(
            f"{_WORKERS}.gthread:ThreadWorker.on_client_socket_readable",
            _touch,
            shapes=("self, conn, client",),
            optional=True,
        ),
        Seam(f"{_WORKERS}.gthread:ThreadWorker.enqueue_req", _enqueue, shapes=("self, conn",)),
        Seam(f"{_WORKERS}.gthread:ThreadWorker.handle", _handle_gthread, shapes=("self, conn",)),
        Seam(
            f"{_WORKERS}.gthread:ThreadWorker.handle_request",
            _handle_request,
            shapes=("self, req, conn",),
        ),
        Seam(
            f"{_WORKERS}.gthread:ThreadWorker.finish_request",
            _finish_request,
            shapes=("self, conn, fs",),
            optional=True,
        ),
        Seam(
            f"{_WORKERS}.gthread:TConn.wait_for_data",
            scope("server", "read"),
            shapes=("self, timeout",),
            optional=True,
        ),
    ),
)
