"""uvicorn: from the first byte of a request to its last byte, h11 and httptools alike.

Read in uvicorn 0.30 to 0.54, `protocols/http/{h11,httptools}_impl.py`.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from threading import get_ident as ident
from threading import get_native_id as native_id
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.timeline import DISCONNECT, DONE, LAST, OS_THREAD, READ, ROOT, STEP
from tracer.model.traceparent import HEADERS
from tracer.runtime.applications import adding_server_timing, noting_errors
from tracer.runtime.callbacks import READING
from tracer.runtime.connections import connection_state_of
from tracer.runtime.recorder import OCCUPANCY_FLOOR_NS
from tracer.runtime.scopes import (
    attempt,
    mark,
    mark_at,
    mark_coroutine_function,
    scope,
    scoped,
)
from tracer.runtime.seams import Probe, Seam
from tracer.runtime.tasks import root_track

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

SCOPE_KEY: Final = "tracer.timeline"
_CONTEXT: Final = HEADERS.raw


def _data_received(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The server's first touch: the loop has read bytes of a request."""
    log = recorder.busy
    read = log.reading = recorder.name(READING)

    @functools.wraps(original)
    def data_received(self: Any, data: bytes) -> None:
        start = now()
        touches = connection_state_of(self)
        cycle = self.cycle
        if not touches.touch and (cycle is None or cycle.response_complete):
            touches.touch = start
        original(self, data)
        end = now()
        timeline, touches.opened = touches.opened, None
        if timeline is not None:
            mark_at(timeline, (READ, end, ident(), 0))
        if timeline is not None and _loop_name(self.loop) != "uvloop":
            log.opened = timeline
        elif end - start > OCCUPANCY_FLOOR_NS:
            attempt("logging a read", recorder.occupy, start, end, timeline, read)

    return data_received


def _run_asgi(http: str) -> Callable[[Recorder, Any], Any]:
    """The server calls the application: here a timeline opens."""

    def make_wrapper(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
        calling = (
            adding_server_timing(recorder)
            if recorder.policy.server_timing
            else noting_errors(recorder)
        )

        @functools.wraps(original)
        def run_asgi(self: Any, app: Any) -> Any:
            try:
                timeline = _open(recorder, self, http)
            except Exception as error:  # noqa: BLE001 - a request never fails because of us
                recorder.problem("uvicorn:run_asgi", "refused", repr(error))
                timeline = None
            if timeline is None:
                return original(self, app)
            coroutine = original(self, calling(app))
            settle = functools.partial(_settle, recorder, timeline, self)
            return root_track(recorder, timeline, coroutine, settle)

        return mark_coroutine_function(run_asgi)

    return make_wrapper


def _open(recorder: Recorder, cycle: Any, http: str) -> Timeline | None:
    touches = connection_state_of(getattr(cycle.on_response, "__self__", None))
    scope = cycle.scope
    start = touches.touched() or now()
    read_headers = functools.partial(_headers, scope)
    timeline = recorder.open("asgi", _server(), start, scope["path"], read_headers)
    if timeline is None:
        if not recorder.reached:
            cycle.on_response = functools.partial(_first_answer, recorder, cycle.on_response)
        return None
    timeline.connection = touches.number
    timeline.method = recorder.method(scope["method"])
    timeline.http = recorder.name(http)
    timeline.loop = recorder.name(_loop_name(asyncio.get_running_loop()))
    mark(timeline, OS_THREAD, native_id())
    touches.opened = scope[SCOPE_KEY] = timeline
    cycle.on_response = functools.partial(_last_byte, timeline, cycle.on_response)
    return timeline


def _first_answer(recorder: Recorder, on_response: Callable[[], None]) -> None:
    on_response()
    attempt("showing what was counted", recorder.answered)


def _last_byte(timeline: Timeline, on_response: Callable[[], None]) -> None:
    timeline.last_ns = now()
    mark_at(timeline, (LAST, timeline.last_ns, ident(), 0))
    on_response()


def _settle(recorder: Recorder, timeline: Timeline, cycle: Any) -> None:
    timeline.endpoint = attempt("noting an endpoint", _endpoint, recorder, cycle.scope) or 0
    if not cycle.response_started:
        timeline.status = 0
    if timeline.outcome:
        return
    if cycle.response_complete:
        timeline.outcome = recorder.name("complete")
    else:
        timeline.outcome = recorder.name("disconnected" if cycle.disconnected else "cancelled")


def _endpoint(recorder: Recorder, scope: Any) -> int:
    bound, scheme, version = scope["server"], scope["scheme"], scope["http_version"]
    return recorder.endpoint(scheme, bound, version)


def _send(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The last status given before the response is started is that of the response."""
    owner = recorder.owner("server", "send")
    in_scope = scoped(original, owner)

    @functools.wraps(original)
    def send(self: Any, message: Any) -> Any:
        if not self.response_started:
            timeline = CURRENT.get()
            if timeline is not None and isinstance(message, dict):
                timeline.status = message.get("status", 0)
        return in_scope(self, message)

    return mark_coroutine_function(send)


def _connection_lost(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def connection_lost(self: Any, exc: Exception | None) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            timeline = cycle.scope.get(SCOPE_KEY)
            if timeline is not None:
                mark(timeline, DISCONNECT, 0)
        original(self, exc)

    return connection_lost


def _send_400(http: str) -> Callable[[Recorder, Any], Any]:
    """A request that the server answers without the application."""

    def make_wrapper(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def send_400_response(self: Any, msg: str) -> None:
            start = connection_state_of(self).touched() or now()
            original(self, msg)
            attempt("recording a refused request", _record_400, recorder, self, http, start)

        return send_400_response

    return make_wrapper


def _record_400(recorder: Recorder, protocol: Any, http: str, start: int) -> None:
    end = now()
    timeline = recorder.open("asgi", _server(), start)
    if timeline is None:
        return
    timeline.connection = connection_state_of(protocol).number
    timeline.status = 400
    timeline.endpoint = recorder.endpoint(protocol.scheme, protocol.server, None)
    timeline.http = recorder.name(http)
    timeline.loop = recorder.name(_loop_name(protocol.loop))
    timeline.outcome = recorder.name("complete")
    mark(timeline, OS_THREAD, native_id())
    mark_at(timeline, (STEP, start, ident(), ROOT))
    mark_at(timeline, (LAST, end, ident(), 0))
    mark(timeline, DONE, ROOT)
    recorder.close(timeline)


def _headers(scope: Any) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _CONTEXT
    }


@functools.cache
def _server() -> str:
    """Nothing but gunicorn's worker class imports its module; `wrap` comes too late to see it."""
    loaded = sys.modules
    of_gunicorn = "uvicorn_worker" in loaded or "uvicorn.workers" in loaded
    return "gunicorn.uvicorn" if of_gunicorn else "uvicorn"


def _loop_name(loop: object) -> str:
    return "uvloop" if type(loop).__module__.partition(".")[0] == "uvloop" else "asyncio"


def _seams(module: str, protocol: str, http: str) -> tuple[Seam, ...]:
    cycle = f"{module}:RequestResponseCycle"
    return (
        Seam(f"{module}:{protocol}.data_received", _data_received, shapes=("self, data",)),
        Seam(f"{module}:{protocol}.connection_lost", _connection_lost, shapes=("self, exc",)),
        Seam(f"{module}:{protocol}.send_400_response", _send_400(http), shapes=("self, msg",)),
        Seam(f"{cycle}.run_asgi", _run_asgi(http), shapes=("self, app",)),
        Seam(f"{cycle}.send", _send, shapes=("self, message",)),
        Seam(f"{cycle}.receive", scope("server", "body"), shapes=("self",)),
    )


PROBE = Probe(
    name="uvicorn",
    seams=(
        *_seams("uvicorn.protocols.http.h11_impl", "H11Protocol", "h11"),
        *_seams("uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol", "httptools"),
    ),
)
