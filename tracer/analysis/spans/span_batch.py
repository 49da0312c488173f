"""Instants put into the shapes of spans, for many requests at a time."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.shapes.columns import begins, joined, sums
from tracer.analysis.spans.branch import Branch
from tracer.analysis.spans.span_row import HOP_CELLS, Extra, SpanRow
from tracer.analysis.spans.span_selection import longest_of_each
from tracer.model.layers import LAYERS, Owner
from tracer.model.span_ids import mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tracer.analysis.shapes.columns import Joined
    from tracer.analysis.shapes.intern_table import InternTable
    from tracer.analysis.shapes.planned_batch import PlannedBatch
    from tracer.analysis.shapes.preemptions import Preemptions
    from tracer.analysis.spans.span_levels import Level
    from tracer.analysis.spans.span_row import Origin
    from tracer.analysis.spans.span_shape import SpanShape

    Ints = NDArray[np.int64]

_AFTER: Final = "tracer.after_response"
_OVERLAPPED: Final = "tracer.overlapped"
_SECTIONS: Final = ("", "after", "beside")


class RowBuilder:
    """Planned requests on their way to spans."""

    def __init__(self, planned: PlannedBatch[SpanShape], level: Level) -> None:
        """Make spans of all of them."""
        self._planned, self._level = planned, level
        self._shapes = planned.made

    def rows(self, origins: list[Origin]) -> list[SpanRow]:
        """Return each request's instants and durations."""
        planned = self._planned
        zero = planned.starts + np.array([one.offset_ns for one in origins], np.int64)
        handoffs, layers = planned.handoffs, planned.layers
        cells = np.column_stack((handoffs.phases, handoffs.event_loop_ns))
        extras, lost = self._others(zero)
        edges = planned.shapes.thread_base
        idents = _picked(planned.shapes.threads, edges[planned.at], edges[planned.at + 1])
        columns = (
            self._shapes,
            origins,
            planned.heads,
            *(self._unix(name, zero) for name in ("begins", "ends", "events")),
            _split(*self._figures()),
            _split(cells.reshape(-1), planned.handoffs_from * HOP_CELLS),
            layers.tolist(),
            [LAYERS[place] for place in np.argmax(layers, axis=1).tolist()],
            planned.after.tolist(),
            _split(*idents),
            extras,
            lost,
        )
        return [SpanRow(*values) for values in zip(*columns, strict=True)]

    def _unix(self, name: str, zero: Ints) -> list[list[int]]:
        """Return the instants of each request's places of a kind, in unix time."""
        places = self._joined(name)
        return _split(self._planned.instants(places) + zero[places.of], places.bounds)

    def _joined(self, name: str) -> Joined:
        return joined([getattr(one, name) for one in self._shapes])

    @cached_property
    def _preempted(self) -> Preemptions:
        """What others had of segments, the overlapped ones behind the others."""
        main = self._planned.preemptions[0]
        waits = [one.waits for one in self._shapes]
        if not any(one.shape[1] for one in waits):
            return main
        return main.and_those(self._planned.preempted(waits)[0])

    def _spent(self) -> tuple[Ints, Ints]:
        """Return how long each segment took without what others had of it, and one of no length."""
        planned = self._planned
        segments_from = begins([len(one.holder) + 1 for one in self._shapes])
        low, high = self._joined("low"), self._joined("high")
        overlapped = planned.instants(high) - planned.instants(low)
        spent = np.zeros(int(segments_from[-1]), np.int64)
        of, main_from = planned.segments.request, planned.segments_from
        spent[(segments_from[:-1] - main_from[:-1])[of] + np.arange(len(of))] = planned.spent
        behind = segments_from[:-1] + np.diff(main_from) - low.bounds[:-1]
        rows = behind[low.of] + np.arange(len(low.of))
        spent[rows] = overlapped
        preempted = self._preempted
        late = preempted.place >= np.diff(main_from)[preempted.request]
        at = segments_from[preempted.request[late]] + preempted.place[late]
        return spent - sums(at, preempted.length[late], len(spent)), segments_from

    def _figures(self) -> tuple[Ints, Ints]:
        spent, segments_from = self._spent()
        gathers, edges = self._joined("gathers"), self._joined("edges")
        every = spent[gathers.values + segments_from[gathers.of]]
        first = edges.values + gathers.bounds[edges.of]
        return np.add.reduceat(every, first), edges.bounds

    def _others(self, zero: Ints) -> tuple[list[list[Extra]], list[dict[int, int]]]:
        """Return spans of who had the loop, and how long those had it who get none, by span."""
        preempted, names = self._preempted, self._planned.names
        spans_from = begins([len(one.begins) for one in self._shapes])
        holders, sections = self._holders()
        before = begins([len(one.holder) for one in self._shapes])
        span = spans_from[preempted.request] + holders[before[preempted.request] + preempted.place]
        shown = longest_of_each(preempted.request, preempted.length, self._level)
        lost = sums(span, preempted.length, int(spans_from[-1]))
        lost -= sums(span[shown], preempted.length[shown], len(lost))
        of, who = preempted.request[shown], preempted.who[shown]
        extras: list[list[Extra]] = [[] for _ in self._shapes]
        for request, *values in zip(
            of.tolist(),
            (span[shown] - spans_from[of]).tolist(),
            [Branch("loose", Owner("event_loop", names.text(one)), 0, 0) for one in who.tolist()],
            [_SECTIONS[section] for section in sections[span[shown]].tolist()],
            _masks(of, who, names),
            (preempted.low[shown] + zero[of]).tolist(),
            (preempted.high[shown] + zero[of]).tolist(),
            strict=True,
        ):
            extras[request].append(Extra(*values))
        return extras, _by_span(lost, spans_from)

    def _holders(self) -> tuple[Ints, Ints]:
        """Return whose each segment is, and the section of each span."""
        known = {id(one): one for one in self._shapes}
        sections = {key: _sections(one) for key, one in known.items()}
        return (
            np.concatenate([one.holder for one in self._shapes]),
            np.concatenate([sections[id(one)] for one in self._shapes]),
        )


def _by_span(lost: Ints, spans_from: Ints) -> list[dict[int, int]]:
    """Return each request's spans that lost time, and how much."""
    found: list[dict[int, int]] = [{} for _ in spans_from[1:]]
    some = np.flatnonzero(lost)
    whose = np.searchsorted(spans_from, some, "right") - 1
    for request, span, ns in zip(
        whose.tolist(), (some - spans_from[whose]).tolist(), lost[some].tolist(), strict=True
    ):
        found[request][span] = ns
    return found


def _sections(shape: SpanShape) -> Ints:
    said = ((), *(one.attributes for one in shape.spans))
    return np.array([_SECTIONS.index(_section(dict(one))) for one in said], np.int64)


def _section(said: dict[str, Any]) -> str:
    return "after" if _AFTER in said else "beside" if _OVERLAPPED in said else ""


def _masks(of: Ints, who: Ints, names: InternTable) -> list[int]:
    """Return the masks of spans of who had the loop: by name, and which of that name it is."""
    order = np.lexsort((np.arange(len(of)), who, of))
    same = np.zeros(len(of), bool)
    same[1:] = (of[order][1:] == of[order][:-1]) & (who[order][1:] == who[order][:-1])
    place = np.arange(len(of))
    first = np.maximum.accumulate(np.where(same, 0, place))
    again = np.empty(len(of), np.int64)
    again[order] = place - first
    return [
        mask("loose", "event_loop", names.text(blocker), "", number)
        for blocker, number in zip(who.tolist(), again.tolist(), strict=True)
    ]


def _picked(values: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return stretches of an array end to end, and where each begins."""
    counts = high - low
    bounds = begins(counts)
    place = np.arange(int(bounds[-1])) + np.repeat(low - bounds[:-1], counts)
    return values[place], bounds


def _split(values: Ints, bounds: Ints) -> list[Any]:
    """Return each request's part of an array."""
    several = values.tolist()
    return [several[low:high] for low, high in pairwise(bounds.tolist())]
