"""One request as a trace: its root span, and what ran within as a tree of spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracer.analysis.spans.span_attributes import location_attributes, thread_attributes
from tracer.analysis.spans.span_levels import DEFAULT
from tracer.analysis.spans.span_plan import Sections, plan_trace
from tracer.analysis.spans.span_root import (
    SLOWEST,
    count_attributes,
    counts_of,
    fact_attributes,
    facts_of,
    failed,
    layer_figures,
    root_name,
    slowest,
)
from tracer.model.layers import LAYERS
from tracer.model.span_ids import span_id
from tracer.model.traceparent import tracestate_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.analysis.attribution.request import Handoff, Request
    from tracer.analysis.spans.span_attributes import Value
    from tracer.analysis.spans.span_levels import Level
    from tracer.analysis.spans.span_plan import Figure, SpanPlan, TracePlan
    from tracer.analysis.spans.span_root import Attributes

LOOP_FIGURE: Final = "tracer.handoff.event_loop_ns"
THREAD: Final = "thread.id"


@dataclass(frozen=True, slots=True)
class Span:
    """A span; instants are unix time in nanoseconds, `events` name and instant.

    `said` is what many spans have in common, `figures` are its own numbers. The root's
    parent is the caller's span or None, and it is the only `server` one.
    """

    span_id: int
    parent_id: int | None
    name: str
    start_ns: int
    end_ns: int
    said: tuple[tuple[str, Value], ...]
    figures: tuple[tuple[str, int], ...]
    events: tuple[tuple[str, int], ...] = ()
    server: bool = False
    failed: bool = False

    @property
    def attributes(self) -> dict[str, Value]:
        """All that is said of it."""
        return dict((*self.said, *self.figures))


@dataclass(frozen=True, slots=True)
class Trace:
    """One request's spans, parents before children, the root first; `pid` is its worker's.

    `state` is their `tracestate`: how many requests this one stands for.
    """

    trace_id: int
    pid: int
    spans: tuple[Span, ...]
    state: str = ""


def phase_name(phase: str) -> str:
    """Return the attribute for a phase of a hand-off."""
    return f"tracer.handoff.{phase}_ns"


def trace_of(request: Request, level: Level = DEFAULT) -> Trace:
    """Return the spans of an attributed request."""
    plan = plan_trace(sections_of(request), level)
    return _Filling(request, plan).trace()


def sections_of(request: Request) -> Sections:
    """Return what a request's spans are made from."""
    return Sections(
        request.segments, request.after_response, request.overlapped, request.hops, request.end_ns
    )


class _Filling:
    """Puts one request's instants into a plan."""

    def __init__(self, request: Request, plan: TracePlan) -> None:
        self._request, self._plan = request, plan
        self._offset = request.start_unix_ns - request.start_ns
        self._threads = {one.thread: one for one in request.threads}
        self._root_id = int(request.request_id, 16)

    def trace(self) -> Trace:
        """Return root and all spans below."""
        ids = [span_id(self._root_id, one.mask) for one in self._plan.spans]
        ids.append(self._root_id)  # where a parent of `NO_PARENT` finds it
        below = [self._span(one, ids[n], ids[one.parent]) for n, one in enumerate(self._plan.spans)]
        request = self._request
        trace_id = int(request.trace_id, 16)
        state = tracestate_of(request.weight if request.weight_known else None, trace_id)
        return Trace(trace_id, request.pid, (self._root(), *below), state)

    def _root(self) -> Span:
        request = self._request
        facts = facts_of(request)
        layers = [request.layers.get(layer, 0) for layer in LAYERS]
        said = (
            *fact_attributes(facts),
            *count_attributes(counts_of(request)),
            (SLOWEST, slowest(layers)),
        )
        called, number = self._thread(self._plan.thread)
        figures = (
            *layer_figures(layers, request.after_response_ns),
            *self._figures(self._plan.own),
            *number,
        )
        parent = request.parent_span_id
        return Span(
            self._root_id,
            None if parent is None else int(parent, 16),
            root_name(facts),
            request.start_ns + self._offset,
            request.end_ns + self._offset,
            (*said, *called),
            figures,
            server=True,
            failed=failed(facts),
        )

    def _span(self, one: SpanPlan, own_id: int, parent_id: int) -> Span:
        segments = self._plan.segments
        figures = self._figures(one.figures)
        if one.hop is not None:
            figures += _of_handoff(self._request.hops[one.hop])
        place = None if one.code is None else self._request.places.get(one.code)
        called, number = self._thread(one.thread)
        return Span(
            own_id,
            parent_id,
            one.name,
            segments[one.first].start_ns + self._offset,
            segments[one.last].end_ns + self._offset,
            (*one.attributes, *location_attributes(place), *called),
            (*figures, *number),
            tuple((name, segments[at].start_ns + self._offset) for name, at in one.events),
        )

    def _thread(self, segment: int | None) -> tuple[Attributes, tuple[tuple[str, int], ...]]:
        """Return name and number of the thread that ran a segment."""
        thread = None if segment is None else self._plan.segments[segment].thread
        known = None if thread is None else self._threads.get(thread)
        if known is None:
            return (), ()
        return thread_attributes(known.name), ((THREAD, known.ident),)

    def _figures(self, figures: Iterable[Figure]) -> list[tuple[str, int]]:
        segments = self._plan.segments
        return [(name, sum(segments[one].duration_ns for one in those)) for name, those in figures]


def _of_handoff(handoff: Handoff) -> list[tuple[str, int]]:
    phases = [(phase_name(phase), ns) for phase, ns in handoff.phases.items() if ns is not None]
    return [*phases, (LOOP_FIGURE, handoff.event_loop_ns)]
