"""What changes from request to request in the spans of many, laid end to end in arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.spans.branch import Branch
from tracer.analysis.spans.span_plan import NO_PARENT
from tracer.analysis.spans.span_row import Extra, SpanRow
from tracer.model.layers import HOP_PHASES, Owner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tracer.analysis.spans.span_location import SpanLocations
    from tracer.analysis.spans.span_root import Facts
    from tracer.analysis.spans.span_shape import SpanShape
    from tracer.model.frames import Head

    Ints = NDArray[np.int64]

HOP_CELLS: Final = len(HOP_PHASES) + 1
SECTIONS: Final = ("", "after", "beside")


class Origin(NamedTuple):
    """What is known of a request that isn't in its marks; `offset_ns` leads to unix time.

    `called` are its threads' names, by their numbers in its shape.
    """

    facts: Facts
    pid: int
    offset_ns: int
    placed: SpanLocations
    called: tuple[str | None, ...]


class Others(NamedTuple):
    """Spans of who had the loop, in order of request: `blockers` by name, times in unix ns.

    `holder` is whose segment it was (0 for the root's), `section` a place in `SECTIONS`.
    """

    of: Ints
    holder: Ints
    section: Ints
    mask: NDArray[np.uint64]
    start: Ints
    end: Ints
    blockers: list[str | None]


class CollapsedTime(NamedTuple):
    """The event loop's time by holder where it has no span, in order of request and holder."""

    of: Ints
    holder: Ints
    ns: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Many requests' instants (unix, ns) and figures, in the order of their shapes.

    Spans begin with the root. `figures` are the root's own, then each span's; `hops` has a
    row `HOP_CELLS` wide a hand-off: its phases and the loop's part. `idents` are numbers of
    threads. `…_from` say where each request's begin.
    """

    shapes: list[SpanShape]
    origins: list[Origin]
    heads: list[Head]
    starts: Ints
    ends: Ints
    spans_from: Ints
    events: Ints
    events_from: Ints
    figures: Ints
    figures_from: Ints
    hops: Ints
    hops_from: Ints
    idents: Ints
    idents_from: Ints
    layers: Ints
    after: Ints
    others: Others
    others_from: Ints
    lost: CollapsedTime
    lost_from: Ints

    def one(self, number: int) -> SpanRow:
        """Return a request by itself."""
        shape, origin, head = self.shapes[number], self.origins[number], self.heads[number]
        spans = _slice(self.spans_from, number)
        starts, ends = self.starts[spans].tolist(), self.ends[spans].tolist()
        lost = _slice(self.lost_from, number)
        holders = [location_of(holder) for holder in self.lost.holder[lost].tolist()]
        return SpanRow(
            shape=shape,
            facts=origin.facts,
            trace_id=head.trace_id,
            root_id=head.request_id,
            parent_id=head.parent_span_id,
            pid=origin.pid,
            start_ns=starts[0],
            end_ns=ends[0],
            starts=starts[1:],
            ends=ends[1:],
            events=self.events[_slice(self.events_from, number)].tolist(),
            figures=self.figures[_slice(self.figures_from, number)].tolist(),
            hops=self.hops[_slice(self.hops_from, number)].tolist(),
            layers=self.layers[number].tolist(),
            after_ns=int(self.after[number]),
            placed=origin.placed,
            idents=self.idents[_slice(self.idents_from, number)].tolist(),
            called=origin.called,
            extras=[self._extra(n) for n in range(*self.others_from[number : number + 2])],
            lost=dict(zip(holders, self.lost.ns[lost].tolist(), strict=True)) or None,
        )

    def _extra(self, number: int) -> Extra:
        one = self.others
        return Extra(
            location_of(int(one.holder[number])),
            blocker_branch(one.blockers[number]),
            SECTIONS[int(one.section[number])],
            int(one.mask[number]),
            int(one.start[number]),
            int(one.end[number]),
        )


def blocker_branch(blocker: str | None) -> Branch:
    """Return what a span of somebody who had the loop is made from."""
    return Branch("loose", Owner("event_loop", blocker), 0, 0)


def location_of(holder: int) -> int:
    """Return a holder's place among the spans of a plan."""
    return holder - 1 if holder else NO_PARENT


def _slice(bounds: Ints, number: int) -> slice:
    return slice(int(bounds[number]), int(bounds[number + 1]))
