"""The spans of all requests of a shape: which segments lie between which of their marks.

As in `plan.py`, attribution runs once, on places instead of instants; what comes out is
kept as arrays, so that instants are put in for many requests at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer import timeline as t
from tracer.analysis.attribution import window_end
from tracer.analysis.branch import Crossing
from tracer.analysis.hops import cut, phases
from tracer.analysis.plan import NOBODY, PlanWalk, return_of, thread_of
from tracer.analysis.replay import Replay
from tracer.analysis.span_plan import NO_PARENT, SELF, Sections, plan_trace
from tracer.analysis.span_root import Counts
from tracer.analysis.tiling import tile
from tracer.layers import HOP_PHASES, LAYERS, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.plan import Book, Story
    from tracer.analysis.span_levels import Level
    from tracer.analysis.span_plan import SpanPlan, TracePlan
    from tracer.analysis.track import Bridge

    Ints = NDArray[np.int64]

_PHASES: Final = len(HOP_PHASES)


@dataclass(frozen=True, slots=True, eq=False)
class SpanShape:
    """A plan of a trace, and arrays of an entry a segment, figure, cut or hand-off.

    Segments are those of the plan, with `within` of them in the window and `main` of them
    not overlapped. Figures are the root's, then those of each span in turn; `gathers` are
    the segments of one after the other, `edges` where each figure's begin. A figure
    without segments has the one behind the last. `threads` are the request's threads on
    which the root and each span began, by number, or nobody.
    """

    plan: TracePlan
    low: Ints
    high: Ints
    on: Ints
    runs: NDArray[np.bool_]
    owner: Ints
    layer: Ints
    holder: Ints
    within: int
    main: int
    gathers: Ints
    edges: Ints
    whole: NDArray[np.bool_]
    first: Ints
    last: Ints
    events: Ints
    end: int
    finish: int
    cut_cell: Ints
    cut_low: Ints
    cut_high: Ints
    observed: NDArray[np.bool_]
    return_low: Ints
    return_high: Ints
    return_on: Ints
    counts: Counts
    threads: tuple[int, ...]

    @property
    def spans(self) -> list[SpanPlan]:
        """All spans below the root."""
        return self.plan.spans


def shape_spans(story: Story, book: Book, level: Level) -> SpanShape:
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
    return SpanShape(
        plan=plan,
        low=_places(one.start_ns for one in every),
        high=_places(one.end_ns for one in every),
        on=_ints(thread_of(one) for one in every),
        runs=np.array([one.state == "run" for one in every], bool),
        owner=_ints(
            book.owners(Owner(one.layer, one.detail, one.part, one.phase)) for one in every
        ),
        layer=_ints(LAYERS.index(one.layer) for one in every),
        holder=_holders(plan),
        within=plan.window,
        main=plan.window + plan.after,
        **_figures(plan),
        first=_ints(one.first for one in plan.spans),
        last=_ints(one.last for one in plan.spans),
        events=_ints(event.segment for one in plan.spans for event in one.events),
        end=end - 1,
        finish=finish - 1,
        **_hops(bridges, walk),
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


def _holders(plan: TracePlan) -> Ints:
    """Return whose own each segment is: a span's place, or that of no parent for the root."""
    holder = np.full(len(plan.segments), NO_PARENT, np.int64)
    for place, one in enumerate(plan.spans):
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
        "whole": np.array([figure.name == SELF for figure in several], bool),
    }


def _hops(bridges: Sequence[Bridge], walk: PlanWalk) -> dict[str, Any]:
    cuts = [(number, one) for number, bridge in enumerate(bridges) for one in cut(bridge)]
    returns = [return_of(bridge, walk) for bridge in bridges]
    seen = [phases(bridge, cut(bridge)) for bridge in bridges]
    return {
        "cut_cell": _ints(n * _PHASES + HOP_PHASES.index(one.phase) for n, one in cuts),
        "cut_low": _places(one.start_ns for _, one in cuts),
        "cut_high": _places(one.end_ns for _, one in cuts),
        "observed": np.array(
            [[sums[phase] is not None for phase in HOP_PHASES] for sums in seen], bool
        ).reshape(-1, _PHASES),
        "return_low": _places(low for low, _, _ in returns),
        "return_high": _places(high for _, high, _ in returns),
        "return_on": _ints(thread for _, _, thread in returns),
    }


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


def _ints(numbers: Iterable[int]) -> Ints:
    return np.fromiter(numbers, np.int64)


def _places(places: Iterable[int]) -> Ints:
    return _ints(place - 1 for place in places)
