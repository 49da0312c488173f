"""The `Server-Timing` header of one response: how its time was spent until its headers went.

https://www.w3.org/TR/server-timing/. Attribution runs in the worker for it, in the request's
way; so it is there only where it was asked for, and only for requests that are recorded.
"""

from __future__ import annotations

from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.marks import pack, unpack
from tracer.model.timeline import CALL, HOP, LAST
from tracer.runtime.identity import settle
from tracer.runtime.scopes import attempt, enter, leave, mark_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.layers import Owner
    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

NAME: Final = "Server-Timing"
_LOWER: Final = NAME.lower().encode()
_MOST: Final = 2_000
"""With more marks, attribution would take too long to wait for."""

_NS_A_MS: Final = 1_000_000


class ServerTiming:
    """Makes the header's value; what that takes is the server's, with a detail of its own."""

    def __init__(self, recorder: Recorder) -> None:
        """Load attribution now, before anybody waits for it."""
        from tracer.analysis.attribution import attribute, blame, tiling  # noqa: PLC0415
        from tracer.analysis.attribution.worker import owner_in  # noqa: PLC0415

        self._attribution, self._request = attribute.Attribution, attribute.RequestMarks
        self._blame, self._sum = blame.Blame, tiling.sum_layers
        self._owner_in = owner_in
        self._recorder = recorder
        self._texts: list[str] = []
        self._owner = recorder.owner("server", "server timing")
        self._wsgi = recorder.name("wsgi")

    def value(self, timeline: Timeline | None) -> str | None:
        """Return the header's value, None for a request that isn't recorded; never raises."""
        verdict = None if timeline is None else timeline.verdict
        if timeline is None or verdict is None or verdict.kept < 0:
            return None
        instant = now()
        enter(timeline, self._owner)
        try:
            value: str | None = attempt("adding Server-Timing", self._value, timeline, instant)
            return value
        finally:
            leave(timeline, self._owner)

    def sending(self, timeline: Timeline, send: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return an ASGI application's `send` that adds the header to the response's start."""

        def send_timed(message: Any) -> Any:
            if message["type"] == "http.response.start":
                value = self.value(timeline)
                if value is not None:
                    headers = [*message.get("headers", ()), (_LOWER, value.encode())]
                    message = {**message, "headers": headers}
            return send(message)

        return mark_coroutine_function(send_timed)

    def _value(self, timeline: Timeline, instant: int) -> str:
        if len(timeline) > _MOST:
            metrics = [_metric("total", instant - timeline.start_ns, "too many marks to tell more")]
        else:
            metrics = self._layers(timeline, instant)
        request_id, trace_id, _ = settle(timeline, self._recorder.live_ids)
        return ", ".join((*metrics, f'traceparent;desc="00-{trace_id:032x}-{request_id:016x}-01"'))

    def _layers(self, timeline: Timeline, instant: int) -> list[str]:
        marks = unpack(timeline.packed() + pack([(LAST, instant, ident(), 0)]))
        marks = [mark for mark in marks if mark[1] <= instant]
        view, blocking = self.text(timeline.view) or "", timeline.interface == self._wsgi
        request = self._request(marks, timeline.start_ns, instant, view, blocking, "")
        blame = self._blame(self._recorder.recent_occupancy(), timeline.sequence, ())
        layers = self._sum(self._attribution(request, self, blame).window)
        hops = sum(code in (HOP, CALL) for code, *_ in marks)
        counted = f"{hops} hand-off{'' if hops == 1 else 's'}"
        return [
            _metric(layer, ns, counted if layer == "handoff" and hops else "")
            for layer, ns in layers.items()
            if ns
        ]

    def owner(self, number: int) -> Owner:
        """Return the owner with a number in this worker's table."""
        return self._owner_in(self.text(number))

    def text(self, number: int) -> str | None:
        """Return the text with a number in this worker's table."""
        if number > len(self._texts):
            self._texts = list(self._recorder.names)
        return self._texts[number - 1] if 0 < number <= len(self._texts) else None


def _metric(name: str, ns: int, description: str = "") -> str:
    return f"{name};dur={ns / _NS_A_MS:.3f}" + (f';desc="{description}"' if description else "")
