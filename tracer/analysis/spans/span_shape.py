"""The spans of all requests of a shape: which segments lie between which of their marks.

As in `plan.py`, attribution runs once, on places instead of instants; what comes out is
kept as arrays, so that instants are put in for many requests at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.attribution.hops import cut, phases
from tracer.analysis.attribution.replay import Replay
from tracer.analysis.attribution.tiling import tile
from tracer.analysis.attribution.walk import window_end
from tracer.analysis.shapes.plan import NOBODY, PlanWalk, return_of, thread_of
from tracer.analysis.spans.branch import Crossing
from tracer.analysis.spans.span_plan import Sections, plan_trace
from tracer.analysis.spans.span_root import Counts
from tracer.model import timeline as t
from tracer.model.layers import HOP_PHASES, LAYERS, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.attribution.track import Bridge
    from tracer.analysis.shapes.plan import InternTable, SymbolicTimeline
    from tracer.analysis.spans.span_levels import Level
    from tracer.analysis.spans.span_plan import SpanPlan, TracePlan

    Ints = NDArray[np.int64]

_PHASES: Final = len(HOP_PHASES)


@dataclass(frozen=True, slots=True, eq=False)
class SpanShape:
    """A plan of a trace, and arrays of an entry a segment, span, figure, cut or hand-off.

    Instants are told by their places among a request's points. Segments are those of the
    plan, with `within` of them in the window and `main` of them not overlapped, and behind
    the last `low`, `high` and `layer` have one of no length. `layer` is the last for what
    isn't in the window. Spans are the root and those of the plan; `holder` says whose own a
    segment is. Figures are the root's, then those of each span in turn; `gathers` are the
    segments of one after the other, `edges` where each figure's begin; one without segments
    has that of no length. In `waits` others may run: low, high, thread, and which it is, a
    segment by its place, a hand-off's end by its number, counted down from -1. `threads` are
    the request's threads on which the spans began, by number, or nobody.
    """

    plan: TracePlan
    low: Ints
    high: Ints
    runs: NDArray[np.bool_]
    owner: Ints
    layer: Ints
    holder: Ints
    within: int
    main: int
    gathers: Ints
    edges: Ints
    begins: Ints
    ends: Ints
    events: Ints
    end: int
    finish: int
    cut_cell: Ints
    cut_low: Ints
    cut_high: Ints
    observed: NDArray[np.bool_]
    waits: Ints
    counts: Counts
    threads: tuple[int, ...]

    @property
    def spans(self) -> list[SpanPlan]:
        """All spans below the root."""
        return self.plan.spans


def shape_spans(story: SymbolicTimeline, book: InternTable, level: Level) -> SpanShape:
    """Attribute a story and plan its spans; all its places are counted from 1."""
    replay = Replay(story.marks, book.owner, story.view, blocking=story.blocking)
    end = window_end(replay, story.start, story.finish, story.outcome)
    walk = PlanWalk(replay, book.text)
    segments = walk.main(story.start)
    finish = max(replay.root.end_ns or end, end)
    window, after = tile(segments, story.start, end), tile(segments, end, finish)
    beside = walk.side_tracks(finish)
    bridges = sorted(replay.bridges, key=lambda bridge: bridge.start_ns)
    crossings = [_crossing(n, bridge, walk, end) for n, bridge in enumerate(bridges)]
    plan = plan_trace(Sections(window, after, beside, crossings, end), level)
    every = plan.segments
    low, high = (_places(getattr(one, name) for one in every) for name in ("start_ns", "end_ns"))
    returns = [return_of(bridge, walk) for bridge in bridges]
    return SpanShape(
        plan=plan,
        low=np.append(low, 0),
        high=np.append(high, 0),
        runs=np.array([one.state == "run" for one in every], bool),
        owner=_ints(
            book.owners(Owner(one.layer, one.detail, one.part, one.phase)) for one in every
        ),
        layer=_layers(plan),
        holder=_holders(plan),
        within=plan.window,
        main=plan.window + plan.after,
        **_figures(plan),
        begins=np.append(story.start - 1, low[_ints(one.first for one in plan.spans)]),
        ends=np.append(end - 1, high[_ints(one.last for one in plan.spans)]),
        events=low[_ints(event.segment for one in plan.spans for event in one.events)],
        end=end - 1,
        finish=finish - 1,
        **_hops(bridges),
        waits=_waits(low, high, _ints(thread_of(one) for one in every), returns),
        counts=_counts(crossings, replay, end),
        threads=tuple(
            NOBODY if one is None else (every[one].thread or 0) - 1
            for one in (plan.thread, *(span.thread for span in plan.spans))
        ),
    )


def _crossing(number: int, bridge: Bridge, walk: PlanWalk, end: int) -> Crossing:
    return Crossing(
        number,
        walk.site(bridge),
        bridge.start_ns,
        bridge.end_ns,
        to_loop=bridge.to_loop,
        started=bridge.thread_started,
        after=bridge.start_ns >= end,
        beside=id(bridge) not in walk.main_bridges,
    )


def _layers(plan: TracePlan) -> Ints:
    layer = np.full(len(plan.segments) + 1, len(LAYERS), np.int64)
    layer[: plan.window] = [LAYERS.index(one.layer) for one in plan.segments[: plan.window]]
    return layer


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
        "gathers": _ints(segment for one in gathers for segment in one),
        "edges": edges.astype(np.int64),
    }


def _hops(bridges: Sequence[Bridge]) -> dict[str, Any]:
    cuts = [(number, one) for number, bridge in enumerate(bridges) for one in cut(bridge)]
    seen = [phases(bridge, cut(bridge)) for bridge in bridges]
    return {
        "cut_cell": _ints(n * _PHASES + HOP_PHASES.index(one.phase) for n, one in cuts),
        "cut_low": _places(one.start_ns for _, one in cuts),
        "cut_high": _places(one.end_ns for _, one in cuts),
        "observed": np.array(
            [[sums[phase] is not None for phase in HOP_PHASES] for sums in seen], bool
        ).reshape(-1, _PHASES),
    }


def _waits(low: Ints, high: Ints, on: Ints, returns: Sequence[tuple[int, int, int]]) -> Ints:
    some = np.flatnonzero(on != NOBODY)
    ends = [
        (begin - 1, end - 1, thread, -1 - number)
        for number, (begin, end, thread) in enumerate(returns)
        if thread != NOBODY
    ]
    of_segments = np.stack((low[some], high[some], on[some], some))
    found: Ints = np.concatenate((of_segments, _ints(ends).reshape(-1, 4).T), axis=1)
    return found


def _counts(crossings: Sequence[Crossing], replay: Replay, end: int) -> Counts:
    threads = replay.instants.get(t.THREAD, [])
    return Counts(
        sum(not one.to_loop and not one.after for one in crossings),
        sum(one.to_loop and not one.after for one in crossings),
        sum(not one.to_loop and one.after for one in crossings),
        len(threads),
        sum(instant >= end for instant in threads),
        len(replay.instants.get(t.CONNECT, [])),
    )


def _ints(numbers: Iterable[Any]) -> Ints:
    return np.array(tuple(numbers), np.int64)


def _places(places: Iterable[int]) -> Ints:
    return _ints(place - 1 for place in places)
