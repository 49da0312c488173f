"""Instants put into the shapes of spans, for many requests at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tracer.analysis.branch import Branch
from tracer.analysis.busy import Found
from tracer.analysis.drawn import Drawn, Extra
from tracer.analysis.garbage import collect
from tracer.analysis.plan import NOBODY
from tracer.analysis.span_fold import told
from tracer.analysis.span_plan import NO_PARENT
from tracer.analysis.taken import Taken
from tracer.analysis.telling import others
from tracer.analysis.told import Stretches, Told
from tracer.layers import HOP_PHASES, LAYERS, Owner
from tracer.span_ids import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.batch import Batch, Shapes
    from tracer.analysis.busy import Log
    from tracer.analysis.plan import Book
    from tracer.analysis.span_levels import Level
    from tracer.analysis.span_root import Facts
    from tracer.analysis.span_shape import SpanShape
    from tracer.analysis.span_where import Placed

    Ints = NDArray[np.int64]

_PHASES: Final = len(HOP_PHASES)
_AFTER: Final = "tracer.after_response"
_BESIDE: Final = "tracer.overlapped"


class Origin(NamedTuple):
    """What is known of a request that isn't in its marks; `offset_ns` leads to unix time.

    `called` are its threads' names, by their numbers in its shape.
    """

    facts: Facts
    pid: int
    offset_ns: int
    placed: Placed
    called: tuple[str | None, ...]


class Sketch:
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
        self._base = shapes.bounds[np.array(places, np.int64)].astype(np.int64)
        self._taken = self._late = Taken.nothing(len(places))
        self._text: Callable[[int], str | None] = str

    def odd(self, book: Book) -> set[int]:
        """Return the numbers of requests that a garbage collection makes odd."""
        if not self._shapes.pauses:
            return set()
        count = len(self._places)
        mains = [one.main for one in self._chosen]
        request = np.repeat(np.arange(count), mains)
        offset = self._base[request]
        instants = self._shapes.instants
        told = Told(count, np.zeros(count, np.int64), np.zeros(count, np.int64))
        place = np.arange(len(request)) - np.repeat(np.cumsum(mains) - mains, mains)
        within = place < np.array([one.within for one in self._chosen], np.int64)[request]

        def joined(name: str) -> Any:
            return np.concatenate([getattr(one, name)[: one.main] for one in self._chosen])

        low, high = joined("low"), joined("high")
        told.segments = Stretches(
            request,
            instants[low + offset],
            instants[high + offset],
            joined("owner"),
            within,
            joined("runs"),
        )
        collect(told, self._shapes, self._places, book)
        odd = set(np.flatnonzero(told.odd).tolist())
        if self._level == "all":
            odd |= {one.request for one in told.collected}
        return odd

    def blame(self, log: Log, book: Book) -> None:
        """Find who else had the loop in the segments and in the ends of hand-offs."""
        pieces, where = self._stretches()
        request, low, high, on = pieces
        if not len(request):
            return
        start = np.array([self._batch.heads[place].start_ns for place in self._places], np.int64)
        nothing = np.zeros(0, np.int64)
        ones = Stretches(request, low, high, nothing, nothing != 0, nothing != 0)
        none = (nothing, nothing, nothing, nothing)
        found = others(
            self._batch,
            self._shapes,
            np.array(self._places, np.int64),
            log,
            (ones, on),
            none,
            start,
        )
        of, place = request[found.stretch], where[found.stretch]
        some, ends = place >= 0, place < 0
        count = len(self._places)
        self._taken = Taken(count, of[some], place[some], Found(*(one[some] for one in found)))
        self._late = Taken(count, of[ends], -1 - place[ends], Found(*(one[ends] for one in found)))
        self._text = book.text

    def _stretches(self) -> tuple[tuple[Ints, Ints, Ints, Ints], Ints]:
        """Return all stretches on whose thread others may run, and which each is.

        A segment by its place, a hand-off's end by its number, counted down from -1.
        """
        parts: list[tuple[Ints, Ints, Ints, Ints, Ints]] = []
        instants = self._shapes.instants
        known: dict[int, tuple[Ints, ...]] = {}
        for number, one in enumerate(self._chosen):
            if id(one) not in known:
                known[id(one)] = _busy_places(one)
            low, high, on, where = known[id(one)]
            base = self._base[number]
            request = np.full(len(low), number, np.int64)
            parts.append((request, instants[low + base], instants[high + base], on, where))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return (columns[0], columns[1], columns[2], columns[3]), columns[4]

    def draw(self, origins: Sequence[Origin], odd: set[int]) -> dict[int, Drawn]:
        """Return what is drawn by the requests' places in the batch, without the odd ones."""
        groups: dict[int, list[int]] = {}
        for number, one in enumerate(self._chosen):
            if number not in odd:
                groups.setdefault(id(one), []).append(number)
        found: dict[int, Drawn] = {}
        for members in groups.values():
            for number, drawn in zip(members, self._group(members, origins), strict=True):
                found[self._places[number]] = drawn
        return found

    def _group(self, members: list[int], origins: Sequence[Origin]) -> list[Drawn]:
        """Draw requests of one shape."""
        shape = self._chosen[members[0]]
        instants, base = self._shapes.instants, self._base[members][:, None]
        heads = [self._batch.heads[self._places[number]] for number in members]
        zero = np.array(
            [head.start_ns + origins[n].offset_ns for n, head in zip(members, heads, strict=True)],
            np.int64,
        )[:, None]
        low, high = instants[base + shape.low], instants[base + shape.high]
        spent = np.zeros((len(members), len(shape.low) + 1), np.int64)
        spent[:, :-1] = high - low
        taken, of = self._taken.among(members)
        place, length = self._taken.place[taken], self._taken.length[taken]
        np.subtract.at(spent, (of, place), length)
        layers = _by_layer(spent, shape)
        np.add.at(layers[:, _LOOP], of, np.where(place < shape.within, length, 0))
        ends = (instants[base[:, 0] + shape.end] + zero[:, 0]).tolist()
        after = (instants[base[:, 0] + shape.finish] + zero[:, 0]).tolist()
        columns = (
            (low[:, shape.first] + zero).tolist(),
            (high[:, shape.last] + zero).tolist(),
            (low[:, shape.events] + zero).tolist(),
            np.add.reduceat(spent[:, shape.gathers], shape.edges, axis=1).tolist(),
            self._hops(shape, members, base),
            layers.tolist(),
        )
        beside = self._beside(members, shape, zero[:, 0])
        edges, threads = self._shapes.thread_base, self._shapes.threads
        found = []
        for row, (number, head) in enumerate(zip(members, heads, strict=True)):
            extras, lost = beside[row]
            starts, lasts, events, figures, hops, by_layer = (column[row] for column in columns)
            origin, at = origins[number], self._places[number]
            idents = threads[edges[at] : edges[at + 1]].tolist()
            found.append(
                Drawn(
                    shape, origin.facts, head.trace_id, head.request_id, head.parent_span_id,
                    origin.pid, int(zero[row, 0]), ends[row], starts, lasts, events, figures,
                    hops, by_layer, after[row] - ends[row], origin.placed, idents, origin.called,
                    extras, lost,
                )
            )  # fmt: skip
        return found

    def _hops(self, shape: SpanShape, members: list[int], base: Ints) -> list[Any]:
        """Return the phases of each hand-off, gross, and what the loop owns of them."""
        instants, count = self._shapes.instants, len(shape.return_on)
        spent = np.zeros((len(members), count * _PHASES), np.int64)
        length = instants[base + shape.cut_high] - instants[base + shape.cut_low]
        rows = np.arange(len(members))[:, None]
        np.add.at(spent, (rows, shape.cut_cell), length)
        found = np.zeros((len(members), count, _PHASES + 1), np.int64)
        found[:, :, :_PHASES] = spent.reshape(len(members), count, _PHASES)
        late, of = self._late.among(members)
        np.add.at(found[:, :, _PHASES], (of, self._late.place[late]), self._late.length[late])
        return found.tolist()

    def _beside(
        self, members: list[int], shape: SpanShape, zero: Ints
    ) -> list[tuple[list[Extra], dict[int, int] | None]]:
        """Return spans of who had the loop, and how long of those without, by holder."""
        taken = self._taken
        rows, of = taken.among(members)
        lost = np.zeros((len(members), len(shape.spans) + 1), np.int64)
        np.add.at(lost, (of, shape.holder[taken.place[rows]]), taken.length[rows])
        found: list[tuple[list[Extra], dict[int, int] | None]] = []
        for row, number in enumerate(members):
            extras = self._extras(number, shape, int(zero[row]))
            left = lost[row]
            for one in extras:
                left[one.holder] -= one.end_ns - one.start_ns
            some = np.flatnonzero(left)
            holders = np.where(some == len(shape.spans), NO_PARENT, some)
            pairs = zip(holders.tolist(), left[some].tolist(), strict=True)
            found.append((extras, dict(pairs) or None))
        return found

    def _extras(self, number: int, shape: SpanShape, zero: int) -> list[Extra]:
        rows = self._taken.of(number)
        place, who = self._taken.place[rows], self._taken.who[rows]
        low, high = self._taken.low[rows], self._taken.high[rows]
        seen: Counter[str | None] = Counter()
        extras: list[Extra] = []
        for one in told((high - low).tolist(), self._level):
            culprit, holder = self._text(int(who[one])), int(shape.holder[place[one]])
            branch = Branch("loose", Owner("event_loop", culprit), 0, 0)
            masked = mask("loose", "event_loop", culprit, "", seen[culprit])
            seen[culprit] += 1
            begin, end = int(low[one]) + zero, int(high[one]) + zero
            extras.append(Extra(holder, branch, _section(shape, holder), masked, begin, end))
        return extras


_LOOP: Final = LAYERS.index("event_loop")


def _busy_places(one: SpanShape) -> tuple[Ints, ...]:
    """Return low, high, thread and number of what others may have run in."""
    some, ends = np.flatnonzero(one.on != NOBODY), np.flatnonzero(one.return_on != NOBODY)
    return (
        np.concatenate([one.low[some], one.return_low[ends]]),
        np.concatenate([one.high[some], one.return_high[ends]]),
        np.concatenate([one.on[some], one.return_on[ends]]),
        np.concatenate([some, -1 - ends]),
    )


def _by_layer(spent: Ints, shape: SpanShape) -> Ints:
    chosen = np.zeros((shape.within, len(LAYERS)), np.int64)
    chosen[np.arange(shape.within), shape.layer[: shape.within]] = 1
    found: Ints = spent[:, : shape.within] @ chosen
    return found


def _section(shape: SpanShape, holder: int) -> str:
    if holder < 0:
        return ""
    said = dict(shape.spans[holder].attributes)
    return "after" if _AFTER in said else "beside" if _BESIDE in said else ""
