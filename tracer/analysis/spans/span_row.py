"""One request's spans as numbers beside their shape: what changes from request to request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.spans.span_attributes import (
    LAYER,
    attributes_of,
    location_attributes,
    name_of,
    thread_attributes,
)
from tracer.analysis.spans.span_plan import NO_PARENT, SELF
from tracer.analysis.spans.span_root import (
    SLOWEST,
    Facts,
    count_attributes,
    fact_attributes,
    failed,
    layer_figures,
    root_name,
    slowest,
)
from tracer.analysis.spans.spans import LOOP_FIGURE, THREAD, Span, Trace, phase_name
from tracer.model.layers import HOP_PHASES
from tracer.model.span_ids import span_id
from tracer.model.traceparent import tracestate_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracer.analysis.spans.branch import Branch
    from tracer.analysis.spans.span_location import SpanLocations
    from tracer.analysis.spans.span_plan import SpanPlan
    from tracer.analysis.spans.span_root import Attributes
    from tracer.analysis.spans.span_shape import SpanShape

_PHASES: Final = len(HOP_PHASES)


class Extra(NamedTuple):
    """A span that only this request has: who had the loop in a segment of `holder`'s."""

    holder: int
    branch: Branch
    section: str
    mask: int
    start_ns: int
    end_ns: int


class SpanRow(NamedTuple):
    """A request's instants (unix, ns) and figures, in the order of its shape.

    `figures` are the root's own, then each span's; `hops` the phases and the loop's part
    of each hand-off; `idents` and `called` numbers and names of its threads; `lost` the
    event loop's time by holder where it has no span.
    """

    shape: SpanShape
    facts: Facts
    trace_id: int
    root_id: int
    parent_id: int | None
    pid: int
    start_ns: int
    end_ns: int
    starts: Sequence[int]
    ends: Sequence[int]
    events: Sequence[int]
    figures: Sequence[int]
    hops: Sequence[Sequence[int]]
    layers: Sequence[int]
    after_ns: int
    placed: SpanLocations
    idents: Sequence[int]
    called: tuple[str | None, ...]
    extras: Sequence[Extra] = ()
    lost: dict[int, int] | None = None

    def trace(self) -> Trace:
        """Return the spans."""
        return Trace(self.trace_id, self.pid, tuple(self._spans()), self.state)

    @property
    def state(self) -> str:
        """The spans' `tracestate`."""
        return tracestate_of(self.facts.weight, self.trace_id)

    def _spans(self) -> Iterator[Span]:
        figures, events = iter(self.figures), iter(self.events)
        plan = self.shape.plan
        own = [(one.name, next(figures)) for one in plan.own]
        own, more = with_collapsed(own, None, self.collapsed_of(NO_PARENT))
        said = (
            *fact_attributes(self.facts),
            *count_attributes(self.shape.counts),
            (SLOWEST, slowest(self.layers)),
            *self._called(0),
        )
        yield Span(
            self.root_id,
            self.parent_id,
            root_name(self.facts),
            self.start_ns,
            self.end_ns,
            said,
            (*layer_figures(self.layers, self.after_ns), *own, *self._thread(0), *more),
            server=True,
            failed=failed(self.facts),
        )
        ids = [span_id(self.root_id, one.mask) for one in plan.spans]
        ids.append(self.root_id)  # where a parent of `NO_PARENT` finds it
        for place, one in enumerate(plan.spans):
            named = [(figure.name, next(figures)) for figure in one.figures]
            own, more = with_collapsed(named, layer_of(one), self.collapsed_of(place))
            yield Span(
                ids[place],
                ids[one.parent],
                one.name,
                self.starts[place],
                self.ends[place],
                self._said(place, one),
                (*own, *self.hop_figures(one), *self._thread(place + 1), *more),
                tuple((event.name, next(events)) for event in one.events),
            )
        for extra in self.extras:
            yield extra_span(extra, self.root_id, ids[extra.holder])

    def collapsed_of(self, place: int) -> int:
        """Return what the loop's others took from a span without one of their own."""
        return 0 if self.lost is None else self.lost.get(place, 0)

    def _said(self, place: int, one: SpanPlan) -> Attributes:
        where = location_attributes(self.placed.places[place])
        return (*one.attributes, *where, *self._called(place + 1))

    def _called(self, span: int) -> Attributes:
        thread = self.shape.threads[span]
        return () if thread < 0 or not self.called else thread_attributes(self.called[thread])

    def _thread(self, span: int) -> tuple[tuple[str, int], ...]:
        thread = self.shape.threads[span]
        return () if thread < 0 else ((THREAD, self.idents[thread]),)

    def hop_figures(self, one: SpanPlan) -> list[tuple[str, int]]:
        """Return what a hand-off's span says of its phases."""
        if one.hop is None:
            return []
        observed = self.shape.observed[one.hop]
        numbers = self.hops[one.hop]
        found = [
            (phase_name(phase), numbers[place])
            for place, phase in enumerate(HOP_PHASES)
            if observed[place]
        ]
        return [*found, (LOOP_FIGURE, numbers[_PHASES])]


Named = list[tuple[str, int]]


def with_collapsed(own: Named, layer: str | None, lost: int) -> tuple[Named, Named]:
    """Add to a span's own figures what others had of the loop, `lost` ns, without a span.

    Return the figures, and those that it has because of that alone. `layer` is the span's.
    """
    if not lost:
        return own, []
    (_, whole), *parts = own
    whole += lost
    loop = _part("event_loop")
    if any(name == loop for name, _ in parts):
        added = [(name, ns + lost if name == loop else ns) for name, ns in parts]
        return [(SELF, whole), *added], []
    if layer == "event_loop":
        return [(SELF, whole), *parts], []
    more = [(loop, lost)]
    if not parts and layer is not None:
        more.insert(0, (_part(layer), whole - lost))
    return [(SELF, whole), *parts], more


def layer_of(one: SpanPlan) -> str | None:
    """Return whose layer a span's own time is."""
    return next((str(value) for name, value in one.attributes if name == LAYER), None)


def _part(layer: str) -> str:
    return f"tracer.self.{layer}.duration_ns"


def extra_span(extra: Extra, root_id: int, parent_id: int) -> Span:
    """Return the span of who had the loop."""
    return Span(
        span_id(root_id, extra.mask),
        parent_id,
        name_of(extra.branch, extra.section),
        extra.start_ns,
        extra.end_ns,
        attributes_of(extra.branch, extra.section),
        ((SELF, extra.end_ns - extra.start_ns),),
    )
