"""A user's own spans hang from ours: what OpenTelemetry takes for current inside a request.

Our spans are made later, elsewhere, but their ids are known now (`span_ids`). Nothing is
attached to OpenTelemetry's context. Whoever asks for the current one is given ours, with a
span that records nothing, unless something was attached since the middleware or view at
hand began. So it costs what is asked for, and only where there is a TracerProvider.
"""

from __future__ import annotations

import functools
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracer.model.current import CURRENT
from tracer.model.randomness import random_bits
from tracer.model.span_ids import mask, span_id
from tracer.runtime.scopes import is_coroutine_function, mark_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.frames import Ids
    from tracer.model.timeline import Timeline
    from tracer.model.traceparent import ReadHeaders

_ROOT: Final = 0
_lock = threading.Lock()


class Frame(NamedTuple):
    """A middleware or view at hand: whose request, which span, and the context it began in."""

    timeline: Timeline
    mask: int
    base: Any


FRAME: ContextVar[Frame | None] = ContextVar("tracer_frame", default=None)


class Identity:
    """Which trace a request belongs to, settled before its end: it stands for its headers."""

    def __init__(self, lent: ReadHeaders | None, trace_id: int) -> None:
        """Continue the trace of the headers, by the user's propagators, or begin one."""
        self.lent = lent
        headers = lent() if lent is not None else {}
        from opentelemetry import propagate, trace  # noqa: PLC0415 - the process has it

        self.context = propagate.extract(headers)
        caller = trace.get_current_span(self.context).get_span_context()
        self._headers = headers
        self._state = caller.trace_state if caller.is_valid else None
        self.parent_id: int | None = caller.span_id if caller.is_valid else None
        self.trace_id: int = caller.trace_id if caller.is_valid else trace_id
        self.request_id = random_bits(64) or 1

    def __call__(self) -> dict[str, str]:
        """Return the headers."""
        return self._headers

    def settle(self, ids: tuple[int, int, int | None] | None) -> None:
        """Keep to ids that were given out already, if any were."""
        if ids is not None:
            self.request_id, self.trace_id, self.parent_id = ids

    @property
    def ids(self) -> Ids:
        """Request, trace and parent span id."""
        return self.request_id, self.trace_id, self.parent_id

    def within(self, context: Any, masked: int) -> Any:
        """Return a context in which one of our spans is the current one."""
        from opentelemetry import trace  # noqa: PLC0415 - the process has it

        own = span_id(self.request_id, masked) if masked else self.request_id
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        ours = trace.SpanContext(self.trace_id, own, False, flags, self._state)  # noqa: FBT003
        return trace.set_span_in_context(trace.NonRecordingSpan(ours), context)


def identity_of(timeline: Timeline) -> Identity:
    """Return which trace a request belongs to; from now on this is so."""
    known = timeline.read_headers
    if isinstance(known, Identity):
        return known
    with _lock:
        known = timeline.read_headers
        if not isinstance(known, Identity):
            verdict = timeline.verdict
            chosen = (verdict.trace_id if verdict is not None else 0) or random_bits(128) or 1
            known = Identity(known, chosen)
            # Given out already, before there was a TracerProvider.
            known.settle(getattr(known.lent, "ids", None))
            timeline.read_headers = known
    return known


def ids_of(timeline: Timeline) -> Ids:
    """Return request, trace and parent span id of a request; from now on they are so."""
    return identity_of(timeline).ids


def current(context: Any) -> Any:
    """Return what is current inside a request where OpenTelemetry's own context says `context`."""
    frame = FRAME.get()
    if frame is not None:
        if context is not frame.base:
            return context
        identity, masked = identity_of(frame.timeline), frame.mask
    else:
        timeline = CURRENT.get()
        if timeline is None or context:
            return context
        identity, masked = identity_of(timeline), _ROOT
    return identity.within(context or identity.context, masked)


def framed(
    wrapped: Callable[..., Any], kind: str, detail: str, base: Callable[[], Any]
) -> Callable[..., Any]:
    """Return `wrapped` as a frame; `base` gives OpenTelemetry's own context as it is."""
    masked = mask(kind, kind, detail)

    def enter() -> Any:
        timeline = CURRENT.get()
        return None if timeline is None else FRAME.set(Frame(timeline, masked, base()))

    if is_coroutine_function(wrapped):

        async def in_frame_async(*args: Any, **kwargs: Any) -> Any:
            token = enter()
            try:
                return await wrapped(*args, **kwargs)
            finally:
                _leave(token)

        return functools.update_wrapper(mark_coroutine_function(in_frame_async), wrapped)

    def in_frame(*args: Any, **kwargs: Any) -> Any:
        token = enter()
        try:
            return wrapped(*args, **kwargs)
        finally:
            _leave(token)

    return functools.update_wrapper(in_frame, wrapped)


def _leave(token: Any) -> None:
    if token is None:
        return
    try:
        FRAME.reset(token)
    except ValueError:  # ended in another context than it began in
        FRAME.set(None)
