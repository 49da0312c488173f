"""The spans of all requests of a shape: which segments lie between which of their marks.

As in `plan.py`, attribution runs once, on places instead of instants; what comes out is
kept as arrays, so that instants are put in for many requests at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.shapes.plan import ints, places, waiting_of, waits_of
from tracer.analysis.spans.span_plan import Sections, plan_trace
from tracer.model.layers import HOP_PHASES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tracer.analysis.attribution.attribute import Attribution
    from tracer.analysis.attribution.request import Counts
    from tracer.analysis.spans.span_levels import Level
    from tracer.analysis.spans.span_plan import SpanPlan, TracePlan

    Ints = NDArray[np.int64]

NO_THREAD: Final = -1
_PHASES: Final = len(HOP_PHASES)


@dataclass(frozen=True, slots=True, eq=False)
class SpanShape:
    """A plan of a trace, and arrays of an entry a segment, span or figure.

    Instants are given as places among a request's points. The first `main` segments are
    those of the shape's `Plan`; the others are overlapped, and behind the last `low` and
    `high`, which are of these alone, have one of no length. Spans are the root and those of
    the plan; `holder` says whose own a segment is. Figures are the root's, then those of each
    span in turn; `gathers` are the segments of one after the other, `edges` where each
    figure's begin; one without segments has that of no length. `waits` are as in `Plan`, of
    overlapped segments. `threads` are the request's threads on which the spans began, by
    number, or none.
    """

    plan: TracePlan
    main: int
    low: Ints
    high: Ints
    waits: Ints
    holder: Ints
    gathers: Ints
    edges: Ints
    begins: Ints
    ends: Ints
    events: Ints
    observed: NDArray[np.bool_]
    counts: Counts
    threads: tuple[int, ...]

    @property
    def spans(self) -> list[SpanPlan]:
        """All spans below the root."""
        return self.plan.spans


def span_shape(found: Attribution, level: Level) -> SpanShape:
    """Plan the spans of a shape's attribution; all its places are counted from 1."""
    sections = Sections(
        found.window, found.after_response, found.overlapped, found.handoffs, found.end_ns
    )
    plan = plan_trace(sections, level)
    every, main = plan.segments, plan.window + plan.after
    low, high = (places(getattr(one, name) for one in every) for name in ("start_ns", "end_ns"))
    return SpanShape(
        plan=plan,
        main=main,
        low=np.append(low[main:], 0),
        high=np.append(high[main:], 0),
        waits=waits_of(waiting_of(one, place) for place, one in enumerate(every[main:], main)),
        holder=_holders(plan),
        **_figures(plan),
        begins=np.append(found.start_ns - 1, low[ints(one.first for one in plan.spans)]),
        ends=np.append(found.end_ns - 1, high[ints(one.last for one in plan.spans)]),
        events=low[ints(event.segment for one in plan.spans for event in one.events)],
        observed=np.array(
            [[ns is not None for ns in one.phases.values()] for one in found.handoffs], bool
        ).reshape(-1, _PHASES),
        counts=found.counts,
        threads=tuple(
            NO_THREAD if one is None else (every[one].thread or 0) - 1
            for one in (plan.thread, *(span.thread for span in plan.spans))
        ),
    )


def _holders(plan: TracePlan) -> Ints:
    """Return whose own each segment is: the root's, or by place a span's behind it."""
    holder = np.zeros(len(plan.segments), np.int64)
    for place, one in enumerate(plan.spans, 1):
        holder[list(one.figures[0].segments)] = place
    return holder


def _figures(plan: TracePlan) -> dict[str, Any]:
    several = [*plan.own, *(figure for one in plan.spans for figure in one.figures)]
    nothing = (len(plan.segments),)
    gathers = [figure.segments or nothing for figure in several]
    edges = np.cumsum([0, *(len(one) for one in gathers)])[:-1]
    return {
        "gathers": ints(segment for one in gathers for segment in one),
        "edges": edges.astype(np.int64),
    }
