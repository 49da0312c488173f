"""Templates filled in for many requests at once: all numbers of a kind are put in together."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tracer.analysis.shapes.columns import begins, joined
from tracer.export.protobuf import SHORT, WIDE_BITS, wide
from tracer.export.template import ID, LENGTH_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.spans.columns import Columns
    from tracer.export.template import Template, Written

    Ints = NDArray[np.int64]
    Ids = NDArray[np.uint64]

_LOW: Final = 0xFFFF_FFFF_FFFF_FFFF
_KINDS: Final = ("trace", "own", "parent", "start", "end", "figure")


def fits(columns: Columns) -> bool:
    """Say whether all numbers have room; those of a clock gone wrong may not."""
    durations = (columns.figures, columns.hops, columns.layers, columns.after)
    instants = (columns.starts, columns.ends, columns.events)
    most = 1 << WIDE_BITS - 1  # others' time comes on top
    threads = columns.idents[columns.idents >= 0]  # nobody's is -1, which no span says
    return _within((*durations, *instants), 1 << 63) and _within((*durations, threads), most)


def _within(several: Sequence[Ints], most: int) -> bool:
    return all(not one.size or 0 <= int(one.min()) <= int(one.max()) < most for one in several)


def fill(
    columns: Columns, templates: Sequence[Template], others: Sequence[Written]
) -> list[memoryview]:
    """Return each request's spans as `ScopeSpans.spans`.

    `templates` are the requests', `others` those of the spans of who had the loop.
    """
    return _Filling(columns, templates, others).content()


class _Lost(NamedTuple):
    """Spans that lost time: which of all it is, its number, what it had before and lost."""

    span: Ints
    number: Ints
    before: Ints
    ns: Ints
    more: Ints


class _Filling:
    """One buffer for all requests, and where in it each one's spans begin.

    A place is its template's, plus where its request begins, plus what was added to the spans
    before it because others had the loop in them.
    """

    def __init__(
        self, columns: Columns, templates: Sequence[Template], others: Sequence[Written]
    ) -> None:
        self._columns, self._templates, self._others = columns, templates, others
        self._figures = columns.figures.copy()
        self._lost = self._lose()
        added = np.zeros(len(columns.starts), np.int64)
        added[self._lost.span] = self._lost.more[:, 0]
        self._shift = begins(added)
        sizes = np.array([len(one.content) for one in templates], np.int64)
        ends = self._shift[columns.spans_from]
        others_from = begins([len(one.content) for one in others])
        of_others = others_from[columns.others_from]
        # Where a request's message begins, but for what was added to spans before.
        self._base = begins(sizes) + of_others
        self._bounds = self._base + ends
        self._other_at = (
            others_from[:-1] - of_others[columns.others.of] + self._base[columns.others.of]
        ) + (sizes + ends[1:])[columns.others.of]
        self._out = bytearray().join(self._chunks())
        # Every eight bytes of it, wherever they begin.
        self._wide: Any = np.ndarray(
            max(len(self._out) - ID + 1, 0), "<u8", buffer=self._out, strides=(1,)
        )

    def content(self) -> list[memoryview]:
        self._put_ids()
        self._put_times()
        self._put_numbers()
        self._put_collapsed()
        self._put_others()
        whole = memoryview(self._out)
        bounds = self._bounds.tolist()
        return [whole[low:high] for low, high in itertools.pairwise(bounds)]

    def _lose(self) -> _Lost:
        """Have the figures of spans that lost time grow; return what else there is of it."""
        columns, lost = self._columns, self._columns.lost
        span = columns.spans_from[lost.of] + lost.holder
        grows = np.concatenate([one.grows for one in self._templates])[span]
        more = np.concatenate([one.more for one in self._templates])[span]
        first = columns.figures_from[lost.of]
        before = self._figures[first + grows[:, 0]]
        for column in grows.T:
            some = column >= 0
            self._figures[(first + column)[some]] += lost.ns[some]
        some = more[:, 0] > 0
        return _Lost(span[some], lost.holder[some], before[some], lost.ns[some], more[some])

    def _chunks(self) -> list[bytes | memoryview]:
        columns, others = self._columns, [one.content for one in self._others]
        edges, spans = columns.others_from.tolist(), columns.spans_from
        rows = np.searchsorted(self._lost.span, spans).tolist()
        numbers = self._lost.number.tolist()
        found: list[bytes | memoryview] = []
        for place, one in enumerate(self._templates):
            low, high = rows[place], rows[place + 1]
            if low == high:
                found.append(one.content)
            else:
                found += _with_more(one, numbers[low:high])
            found += others[edges[place] : edges[place + 1]]
        return found

    def _put(self, at: Ints, numbers: Any) -> None:
        self._wide[at] = numbers

    def _each(self, pick: Callable[[Template], Ints]) -> Ints:
        """Return a place in each span."""
        places = joined([pick(one) for one in self._templates])
        found: Ints = places.values + self._base[places.of] + self._shift[:-1]
        return found

    def _places(self, name: str, first: Ints) -> tuple[Ints, Ints]:
        """Return where numbers of a kind go, and where they are in those of all requests."""
        several = [getattr(one, name) for one in self._templates]
        at = joined([one.at for one in several])
        span, source = (np.concatenate(column) for column in list(zip(*several, strict=True))[1:])
        shift = self._shift[span + self._columns.spans_from[at.of]]
        return at.values + self._base[at.of] + shift, source + first[at.of]

    def _put_ids(self) -> None:
        columns, heads = self._columns, self._columns.heads
        roots = np.array([one.request_id for one in heads], np.uint64)
        of = np.repeat(np.arange(len(heads)), np.diff(columns.spans_from))
        masks = np.concatenate([one.masks for one in self._templates])
        ids = _masked(roots[of], masks)
        trace = [_big([one.trace_id >> bits & _LOW for one in heads]) for bits in (64, 0)]
        at = self._each(lambda one: one.trace)
        for place, half in enumerate(trace):
            self._put(at + place * ID, half[of])
        big = ids.byteswap()
        self._put(self._each(lambda one: one.own), big)
        at, source = self._places("parents", columns.spans_from)
        self._put(at, big[source])
        called = np.array([one.caller for one in self._templates], np.int64)
        some = np.flatnonzero(called >= 0)
        at = called[some] + self._base[some] + self._shift[columns.spans_from[some]]
        self._put(at, _big([heads[place].parent_span_id or 0 for place in some.tolist()]))
        whose, parent = columns.others.of, columns.others.holder
        own = _masked(roots[whose], columns.others.mask)
        self._of_others = (
            *(half[whose] for half in trace),
            own.byteswap(),
            big[columns.spans_from[whose] + parent],
        )

    def _put_times(self) -> None:
        columns = self._columns
        self._put(self._each(lambda one: one.start), columns.starts)
        self._put(self._each(lambda one: one.end), columns.ends)
        at, source = self._places("events", columns.events_from)
        self._put(at, columns.events[source])

    def _put_numbers(self) -> None:
        columns = self._columns
        layers = columns.layers
        breakdown = np.column_stack((layers, layers[:, -1], columns.after))
        rows = np.arange(len(layers)) * breakdown.shape[1]
        for name, numbers, first in (
            ("breakdown", breakdown, rows),
            ("figures", self._figures, columns.figures_from),
            ("hops", columns.hops, columns.hops_from * columns.hops.shape[1]),
            ("idents", columns.idents, columns.idents_from),
        ):
            at, source = self._places(name, first)
            self._put(at, _wide(numbers.reshape(-1)[source]))

    def _put_collapsed(self) -> None:
        """Fill in what was added to spans, and how long they are with it."""
        lost = self._lost
        if not len(lost.span):
            return
        sizes = np.concatenate([one.sizes for one in self._templates])[lost.span]
        span_at = self._each(lambda one: one.begins)[lost.span]
        for at, numbers in ((lost.more[:, 1], lost.before), (lost.more[:, 2], lost.ns)):
            some = at >= 0
            self._put((span_at + sizes + at)[some], _wide(numbers[some]))
        whole = sizes + lost.more[:, 0] - LENGTH_AT - SHORT
        bytewise = np.frombuffer(self._out, np.uint8)
        for place in range(SHORT):
            more = 0x80 if place < SHORT - 1 else 0
            bytewise[span_at + LENGTH_AT + place] = whole >> 7 * place & 0x7F | more

    def _put_others(self) -> None:
        one = self._columns.others
        if not len(one.of):
            return
        slots = np.array([[one.slots[kind][0][0] for kind in _KINDS] for one in self._others])
        trace, own, parent, start, end, figure = slots.T + self._other_at
        high, low, own_id, parent_id = self._of_others
        for at, numbers in (
            (trace, high),
            (trace + ID, low),
            (own, own_id),
            (parent, parent_id),
            (start, one.start),
            (end, one.end),
            (figure, _wide(one.end - one.start)),
        ):
            self._put(at, numbers)


def _with_more(one: Template, numbers: list[int]) -> list[bytes | memoryview]:
    """Return a template with what some of its spans end with, by number."""
    content = memoryview(one.content)
    found: list[bytes | memoryview] = []
    begin = 0
    for number, end in zip(numbers, (one.begins + one.sizes)[numbers].tolist(), strict=True):
        found += (content[begin:end], one.collapsed[number].content)
        begin = end
    found.append(content[begin:])
    return found


def _masked(roots: Ids, masks: Ids) -> Ids:
    """Return spans' ids, as `span_ids` does for one."""
    found = roots ^ masks
    return np.where(found == 0, masks, found)


def _big(numbers: list[int]) -> Ids:
    return np.array(numbers, np.uint64).byteswap()


def _wide(numbers: Ints) -> Ids:
    return wide(numbers.astype(np.uint64))
