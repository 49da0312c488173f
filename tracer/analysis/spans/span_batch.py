"""Instants put into the shapes of spans, for many requests at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tracer.analysis.shapes.batch_result import BatchResult, Stretches
from tracer.analysis.shapes.evaluate import others
from tracer.analysis.shapes.garbage import collect
from tracer.analysis.shapes.preemptions import Preemptions
from tracer.analysis.spans.branch import Branch
from tracer.analysis.spans.span_fold import longest
from tracer.analysis.spans.span_row import HOP_CELLS, Extra, SpanRow
from tracer.model.layers import HOP_PHASES, LAYERS, Owner
from tracer.model.span_ids import mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracer.analysis.shapes.batch import Batch, Shapes
    from tracer.analysis.shapes.occupancy import Log
    from tracer.analysis.shapes.plan import InternTable
    from tracer.analysis.spans.span_levels import Level
    from tracer.analysis.spans.span_row import Origin
    from tracer.analysis.spans.span_shape import SpanShape

    Ints = NDArray[np.int64]

_PHASES: Final = len(HOP_PHASES)
_LAYERS: Final = len(LAYERS)
_LOOP: Final = LAYERS.index("event_loop")
_AFTER: Final = "tracer.after_response"
_BESIDE: Final = "tracer.overlapped"
_SECTIONS: Final = ("", "after", "beside")


class _Joined(NamedTuple):
    """Arrays of several requests end to end: whose each entry is, and where each one's begin."""

    values: Ints
    of: Ints
    bounds: Ints


class RowBuilder:
    """Requests of one batch whose shapes are known, on their way to spans."""

    def __init__(
        self,
        batch: Batch,
        shapes: Shapes,
        places: list[int],
        chosen: list[SpanShape],
        level: Level,
    ) -> None:
        """Draw the timelines at `places`, each by its shape."""
        self._batch, self._shapes, self._level = batch, shapes, level
        self._places, self._chosen = places, chosen
        self._at = np.array(places, np.int64)
        self._base: Ints = shapes.bounds[self._at].astype(np.int64)

    def needs_fallback(self, book: InternTable) -> set[int]:
        """Return the numbers of requests that need the fallback for a garbage collection."""
        if not self._shapes.pauses:
            return set()
        count = len(self._places)
        mains = [one.main for one in self._chosen]
        request = np.repeat(np.arange(count), mains)
        offset = self._base[request]
        instants = self._shapes.instants
        told = BatchResult(count, np.zeros(count, np.int64), np.zeros(count, np.int64))
        place = np.arange(len(request)) - np.repeat(np.cumsum(mains) - mains, mains)
        within = place < np.array([one.within for one in self._chosen], np.int64)[request]

        def main(name: str) -> Any:
            return np.concatenate([getattr(one, name)[: one.main] for one in self._chosen])

        low, high = main("low"), main("high")
        told.segments = Stretches(
            request,
            instants[low + offset],
            instants[high + offset],
            main("owner"),
            within,
            main("runs"),
        )
        collect(told, self._shapes, self._places, book)
        needs_fallback = set(np.flatnonzero(told.needs_fallback).tolist())
        if self._level == "all":
            needs_fallback |= {one.request for one in told.collected}
        return needs_fallback

    def rows(self, log: Log, book: InternTable, origins: list[Origin]) -> list[SpanRow]:
        """Return each request's instants and durations."""
        heads = [self._batch.heads[place] for place in self._places]
        start = np.array([head.start_ns for head in heads], np.int64)
        zero = start + np.array([one.offset_ns for one in origins], np.int64)
        taken, late = self._blame(log, start)
        spent, segments_from = self._spent(taken)
        layers = self._layers(spent, segments_from, taken)
        spans_from = _begins([len(one.begins) for one in self._chosen])
        extras, lost = self._beside(taken, spans_from, book, zero)
        edges, at = self._shapes.thread_base, self._at
        idents = _picked(self._shapes.threads, edges[at], edges[at + 1])
        columns = (
            self._chosen,
            origins,
            heads,
            *(self._unix(name, zero) for name in ("begins", "ends", "events")),
            _split(*self._figures(spent, segments_from)),
            _split(*self._hops(late)),
            layers.tolist(),
            [LAYERS[place] for place in np.argmax(layers, axis=1).tolist()],
            (self._one_each("finish") - self._one_each("end")).tolist(),
            _split(*idents),
            extras,
            lost,
        )
        return [SpanRow(*values) for values in zip(*columns, strict=True)]

    def _unix(self, name: str, zero: Ints) -> list[list[int]]:
        """Return the instants of each request's places of a kind, in unix time."""
        instants, bounds = self._instants(name)
        return _split(instants + np.repeat(zero, np.diff(bounds)), bounds)

    def _instants(self, name: str) -> tuple[Ints, Ints]:
        """Return the instants of each request's places of a kind, and where its begin."""
        places = _joined([getattr(one, name) for one in self._chosen])
        return self._shapes.instants[places.values + self._base[places.of]], places.bounds

    def _one_each(self, name: str) -> Ints:
        places = np.array([getattr(one, name) for one in self._chosen], np.int64)
        found: Ints = self._shapes.instants[places + self._base]
        return found

    def _blame(self, log: Log, start: Ints) -> tuple[Preemptions, Preemptions]:
        """Return what others had of segments, and of the ends of hand-offs."""
        count = len(self._chosen)
        waits = [one.waits for one in self._chosen]
        low, high, on, where = np.concatenate(waits, axis=1)
        request = np.repeat(np.arange(count), [one.shape[1] for one in waits])
        base, instants = self._base[request], self._shapes.instants
        nothing = np.zeros(0, np.int64)
        no = nothing != 0
        ones = Stretches(request, instants[low + base], instants[high + base], nothing, no, no)
        none = (nothing, nothing, nothing, nothing)
        found = others(self._batch, self._shapes, self._at, log, (ones, on), none, start)
        of, place = request[found.stretch], where[found.stretch]
        some, ends = place >= 0, place < 0
        return (
            Preemptions(of[some], place[some], found, some),
            Preemptions(of[ends], -1 - place[ends], found, ends),
        )

    def _spent(self, taken: Preemptions) -> tuple[Ints, Ints]:
        """Return how long each segment took without what others had of it."""
        low, segments_from = self._instants("low")
        high, _ = self._instants("high")
        spent = high - low
        np.subtract.at(spent, segments_from[taken.request] + taken.place, taken.length)
        return spent, segments_from

    def _layers(self, spent: Ints, segments_from: Ints, taken: Preemptions) -> Ints:
        """Return each request's sums by layer, of its window."""
        cells = _joined([one.layer for one in self._chosen])
        found = np.zeros((len(self._chosen), _LAYERS + 1), np.int64)
        np.add.at(found.reshape(-1), cells.of * (_LAYERS + 1) + cells.values, spent)
        counted = cells.values[segments_from[taken.request] + taken.place] < _LAYERS
        np.add.at(found[:, _LOOP], taken.request[counted], taken.length[counted])
        return found[:, :_LAYERS]

    def _figures(self, spent: Ints, segments_from: Ints) -> tuple[Ints, Ints]:
        gathers = _joined([one.gathers for one in self._chosen])
        edges = _joined([one.edges for one in self._chosen])
        every = spent[gathers.values + segments_from[gathers.of]]
        first = edges.values + gathers.bounds[edges.of]
        return np.add.reduceat(every, first), edges.bounds

    def _hops(self, late: Preemptions) -> tuple[Ints, Ints]:
        """Return the phases of each hand-off, gross, and what the loop owns of them."""
        hops_from = _begins([len(one.observed) for one in self._chosen])
        cells = _joined([one.cut_cell for one in self._chosen])
        low, _ = self._instants("cut_low")
        high, _ = self._instants("cut_high")
        phases = np.zeros(int(hops_from[-1]) * _PHASES, np.int64)
        np.add.at(phases, cells.values + hops_from[cells.of] * _PHASES, high - low)
        found = np.zeros((int(hops_from[-1]), HOP_CELLS), np.int64)
        found[:, :_PHASES] = phases.reshape(-1, _PHASES)
        np.add.at(found[:, _PHASES], hops_from[late.request] + late.place, late.length)
        return found.reshape(-1), hops_from * HOP_CELLS

    def _beside(
        self, taken: Preemptions, spans_from: Ints, book: InternTable, zero: Ints
    ) -> tuple[list[list[Extra]], list[dict[int, int]]]:
        """Return spans of who had the loop, and how long those had it who get none, by span."""
        holders, sections = self._holders()
        before = _begins([len(one.holder) for one in self._chosen])
        span = spans_from[taken.request] + holders[before[taken.request] + taken.place]
        told = longest(taken.request, taken.length, self._level)
        lost = np.zeros(int(spans_from[-1]), np.int64)
        np.add.at(lost, span, taken.length)
        np.subtract.at(lost, span[told], taken.length[told])
        of, who = taken.request[told], taken.who[told]
        extras: list[list[Extra]] = [[] for _ in self._chosen]
        for request, *values in zip(
            of.tolist(),
            (span[told] - spans_from[of]).tolist(),
            [Branch("loose", Owner("event_loop", book.text(one)), 0, 0) for one in who.tolist()],
            [_SECTIONS[section] for section in sections[span[told]].tolist()],
            _masks(of, who, book),
            (taken.low[told] + zero[of]).tolist(),
            (taken.high[told] + zero[of]).tolist(),
            strict=True,
        ):
            extras[request].append(Extra(*values))
        return extras, _by_span(lost, spans_from)

    def _holders(self) -> tuple[Ints, Ints]:
        """Return whose each segment is, and the section of each span."""
        known = {id(one): one for one in self._chosen}
        sections = {key: _sections(one) for key, one in known.items()}
        return (
            np.concatenate([one.holder for one in self._chosen]),
            np.concatenate([sections[id(one)] for one in self._chosen]),
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
    return "after" if _AFTER in said else "beside" if _BESIDE in said else ""


def _masks(of: Ints, who: Ints, book: InternTable) -> list[int]:
    """Return the masks of spans of who had the loop: by name, and which of that name it is."""
    order = np.lexsort((np.arange(len(of)), who, of))
    same = np.zeros(len(of), bool)
    same[1:] = (of[order][1:] == of[order][:-1]) & (who[order][1:] == who[order][:-1])
    place = np.arange(len(of))
    first = np.maximum.accumulate(np.where(same, 0, place))
    again = np.empty(len(of), np.int64)
    again[order] = place - first
    return [
        mask("loose", "event_loop", book.text(blocker), "", number)
        for blocker, number in zip(who.tolist(), again.tolist(), strict=True)
    ]


def _picked(values: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return stretches of an array end to end, and where each begins."""
    counts = high - low
    bounds = _begins(counts)
    place = np.arange(int(bounds[-1])) + np.repeat(low - bounds[:-1], counts)
    return values[place], bounds


def _begins(counts: Sequence[int] | Ints) -> Ints:
    """Return where each of several stretches begins, and where the last ends."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def _joined(several: Sequence[Ints]) -> _Joined:
    """Lay a request's array each end to end."""
    bounds = _begins([len(one) for one in several])
    of = np.repeat(np.arange(len(several)), np.diff(bounds))
    values: Any = np.concatenate(several) if several else np.zeros(0, np.int64)
    return _Joined(values, of, bounds)


def _split(values: Ints, bounds: Ints) -> list[Any]:
    """Return each request's part of an array."""
    several = values.tolist()
    return [several[low:high] for low, high in pairwise(bounds.tolist())]
