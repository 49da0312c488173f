"""One request's spans as numbers beside their shape: what changes from request to request."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.spans.span_attributes import (
    LAYER,
    attributes_of,
    location_attributes,
    name_of,
    thread_attributes,
)
from tracer.analysis.spans.span_plan import SELF
from tracer.analysis.spans.span_root import (
    SLOWEST,
    count_attributes,
    fact_attributes,
    failed,
    layer_figures,
    root_name,
)
from tracer.analysis.spans.spans import LOOP_FIGURE, THREAD, Span, Trace, phase_name
from tracer.model.layers import HOP_PHASES
from tracer.model.span_ids import span_id
from tracer.model.traceparent import tracestate_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tracer.analysis.spans.branch import Branch
    from tracer.analysis.spans.span_location import SpanLocations
    from tracer.analysis.spans.span_plan import SpanPlan
    from tracer.analysis.spans.span_root import Attributes, Facts
    from tracer.analysis.spans.span_shape import SpanShape
    from tracer.model.frames import Head

SELF_PREFIX: Final = "tracer.self"
"""Of what spans say of their own time, all of it and by layer."""

_PHASES: Final = len(HOP_PHASES)
HOP_CELLS: Final = _PHASES + 1


class Origin(NamedTuple):
    """What is known of a request that isn't in its marks; `offset_ns` leads to unix time.

    `called` are its threads' names, by their numbers in its shape.
    """

    facts: Facts
    placed: SpanLocations
    called: tuple[str | None, ...]
    pid: int
    offset_ns: int


class Extra(NamedTuple):
    """A span that only this request has: who had the loop in a segment of span `holder`'s."""

    holder: int
    branch: Branch
    section: str
    mask: int
    start_ns: int
    end_ns: int


class SpanRow(NamedTuple):
    """A request's instants (unix, ns) and durations, in the order of its shape.

    Spans are numbered from the root, which is 0. `figures` are the root's own, then each
    span's; `hops` of each hand-off the phases and the loop's part; `idents` numbers of its
    threads; `lost` the event loop's time by span where it has none of its own.
    """

    shape: SpanShape
    origin: Origin
    head: Head
    starts: Sequence[int]
    ends: Sequence[int]
    events: Sequence[int]
    figures: Sequence[int]
    hops: Sequence[int]
    layers: Sequence[int]
    slowest: str
    after_ns: int
    idents: Sequence[int]
    extras: Sequence[Extra]
    lost: Mapping[int, int]

    def trace(self) -> Trace:
        """Return the spans."""
        spans = (*self._spans(), *self.extra_spans(self.ids()))
        return Trace(self.head.trace_id, self.origin.pid, spans, self.state)

    @property
    def size(self) -> int:
        """How many spans there are."""
        return len(self.starts) + len(self.extras)

    @property
    def state(self) -> str:
        """The spans' `tracestate`."""
        return tracestate_of(self.origin.facts.weight, self.head.trace_id)

    @property
    def numbers(self) -> list[int]:
        """All durations and numbers of threads, one after the other."""
        return [*self.layers, self.after_ns, *self.figures, *self.hops, *self.idents]

    def with_places(self) -> SpanRow:
        """Return what is its shape's alone: in place of each number its place in `numbers`."""
        places = count()

        def take(several: Sequence[object]) -> list[int]:
            return list(islice(places, len(several)))

        return self._replace(
            events=range(len(self.events)),
            layers=take(self.layers),
            after_ns=next(places),
            figures=take(self.figures),
            hops=take(self.hops),
            idents=take(self.idents),
            extras=(),
            lost={},
        )

    def ids(self) -> list[int]:
        """Return the spans' ids, but not those of `extras`."""
        root = self.head.request_id
        return [root, *(span_id(root, one.mask) for one in self.shape.spans)]

    def extra_spans(self, ids: Sequence[int]) -> list[Span]:
        """Return the spans of who had the loop; `ids` are those of the others."""
        return [_extra_span(one, ids[0], ids[one.holder]) for one in self.extras]

    def _spans(self) -> Iterator[Span]:
        figures, events = iter(self.figures), iter(self.events)
        facts, ids = self.origin.facts, self.ids()
        own = [(one.name, next(figures)) for one in self.shape.plan.own]
        own, more = with_collapsed(own, None, self.lost.get(0, 0))
        said = (
            *fact_attributes(facts),
            *count_attributes(self.shape.counts),
            (SLOWEST, self.slowest),
            *self._called(0),
        )
        yield Span(
            ids[0],
            self.head.parent_span_id,
            root_name(facts),
            self.starts[0],
            self.ends[0],
            said,
            (*layer_figures(self.layers, self.after_ns), *own, *self._thread(0), *more),
            server=True,
            failed=failed(facts),
        )
        for number, one in enumerate(self.shape.spans, 1):
            named = [(figure.name, next(figures)) for figure in one.figures]
            own, more = with_collapsed(named, layer_of(one), self.lost.get(number, 0))
            yield Span(
                ids[number],
                ids[one.parent + 1],
                one.name,
                self.starts[number],
                self.ends[number],
                self._said(number, one),
                (*own, *self._hop_figures(one), *self._thread(number), *more),
                tuple((event.name, next(events)) for event in one.events),
            )

    def _said(self, span: int, one: SpanPlan) -> Attributes:
        where = location_attributes(self.origin.placed.places[span - 1])
        return (*one.attributes, *where, *self._called(span))

    def _called(self, span: int) -> Attributes:
        thread = self.shape.threads[span]
        called = self.origin.called
        return () if thread < 0 or not called else thread_attributes(called[thread])

    def _thread(self, span: int) -> tuple[tuple[str, int], ...]:
        thread = self.shape.threads[span]
        return () if thread < 0 else ((THREAD, self.idents[thread]),)

    def _hop_figures(self, one: SpanPlan) -> list[tuple[str, int]]:
        """Return what a hand-off's span says of its phases."""
        if one.hop is None:
            return []
        observed = self.shape.observed[one.hop]
        first = one.hop * HOP_CELLS
        numbers = self.hops[first : first + HOP_CELLS]
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


def _extra_span(extra: Extra, root_id: int, parent_id: int) -> Span:
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
