"""Spans as bytes made once, and where in them stands what changes from request to request."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from tracer.analysis.spans.columns import HOP_CELLS
from tracer.analysis.spans.span_row import layer_of, with_collapsed
from tracer.export.protobuf import BYTES, FIXED64, SHORT, VARINT, WIDE, field, tag, varint
from tracer.model.layers import HOP_PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.spans.span_plan import Figure
    from tracer.analysis.spans.span_row import SpanRow
    from tracer.analysis.spans.span_shape import SpanShape
    from tracer.analysis.spans.spans import Span

    Ints = NDArray[np.int64]
    Constant = Callable[[Span], bytes]
    Slot = tuple[int, int]

ID: Final = 8
_LONGEST: Final = 1 << 7 * SHORT
_SPAN: Final = tag(ScopeSpans, "spans", BYTES)
LENGTH_AT: Final = len(_SPAN)
"""How far behind a span's beginning its length is told, in `SHORT` bytes."""

_STATE, _ATTRIBUTE, _EVENT = (
    tag(Message, name, BYTES) for name in ("trace_state", "attributes", "events")
)
_TRACE_ID: Final = tag(Message, "trace_id", BYTES) + varint(2 * ID)
_OWN_ID: Final = tag(Message, "span_id", BYTES) + varint(ID)
_PARENT_ID: Final = tag(Message, "parent_span_id", BYTES) + varint(ID)
_START, _END = (tag(Message, f"{name}_time_unix_nano", FIXED64) for name in ("start", "end"))
_AT: Final = tag(Message.Event, "time_unix_nano", FIXED64)
_INT: Final = tag(AnyValue, "int_value", VARINT)
_VALUE: Final = tag(KeyValue, "value", BYTES) + varint(len(_INT) + WIDE) + _INT


class Places(NamedTuple):
    """Where numbers of a kind go: from the beginning, and in which span, by number.

    `source` says which of its request's numbers each is.
    """

    at: Ints
    span: Ints
    source: Ints


class CollapsedFigure(NamedTuple):
    """What a span ends with that others had the loop in, beside what it has anyway.

    Where in it its own time before goes, and the time it lost; -1 if that isn't told.
    """

    content: bytes
    before: int
    lost: int


class Written:
    """Spans in bytes, with nothing filled in; slots are by kind: where, and in which span."""

    def __init__(self, spans: Iterable[Span], state: str, constant: Constant) -> None:
        """Write spans; `constant` says what one never changes."""
        self._content = bytearray()
        self._constant, self._state = constant, state.encode()
        self.begins: list[int] = []
        self.slots: defaultdict[str, list[Slot]] = defaultdict(list)
        for one in spans:
            self._span(one)
        self.content = bytes(self._content)

    def at(self, kind: str) -> Ints:
        """Return where the slots of a kind are."""
        return _ints(at for at, _ in self.slots[kind])

    def places(self, kind: str) -> Places:
        """Return the slots of a kind, filled in order."""
        return places((*slot, number) for number, slot in enumerate(self.slots[kind]))

    def _span(self, one: Span) -> None:
        begin = len(self._content)
        self.begins.append(begin)
        self._content += field(_SPAN, b"", SHORT) + self._constant(one)
        if self._state:
            self._content += field(_STATE, self._state)
        self._slot("trace", _TRACE_ID, 2 * ID)
        self._slot("own", _OWN_ID, ID)
        if one.parent_id is not None:
            self._slot("parent", _PARENT_ID, ID)
        self._slot("start", _START, ID)
        self._slot("end", _END, ID)
        for name, _ in one.figures:
            self._slot("figure", figure(name), WIDE)
        for name, _ in one.events:
            timed = Message.Event(name=name).SerializeToString() + _AT
            self._slot("event", _EVENT + varint(len(timed) + ID) + timed, ID)
        size = len(self._content) - begin - LENGTH_AT - SHORT
        if size >= _LONGEST:
            raise ValueError("a span of megabytes")
        self._content[begin + LENGTH_AT : begin + LENGTH_AT + SHORT] = varint(size, SHORT)

    def _slot(self, kind: str, before: bytes, width: int) -> None:
        self._content += before
        self.slots[kind].append((len(self._content), len(self.begins) - 1))
        self._content += bytes(width)


class Template:
    """A request's spans, the root first."""

    def __init__(self, drawn: SpanRow, constant: Constant) -> None:
        """Make it from one request of its shape."""
        shape = drawn.shape
        trace = drawn._replace(extras=(), lost=None).trace()
        written = Written(trace.spans, trace.state, constant)
        self.content = written.content
        self.begins = _ints(written.begins)
        self.sizes = np.diff(self.begins, append=len(self.content))
        self.trace, self.own = written.at("trace"), written.at("own")
        self.start, self.end = written.at("start"), written.at("end")
        self.events = written.places("event")
        self.masks = np.array([0, *(one.mask for one in shape.spans)], np.uint64)
        # The root's parent, if it has one, is somebody else's span.
        above = drawn.parent_id is not None
        parents = written.slots["parent"]
        self.caller = parents[0][0] if above else -1
        self.parents = places(
            (*slot, one.parent + 1) for slot, one in zip(parents[above:], shape.spans, strict=True)
        )
        self._tell_figures(shape, written.slots["figure"])
        self._put_collapsed_figures(shape)

    def _tell_figures(self, shape: SpanShape, slots: list[Slot]) -> None:
        """Tell apart a span's numbers: its figures, a hand-off's phases, its thread's."""
        of_span: list[list[Slot]] = [[] for _ in self.begins]
        for slot in slots:
            of_span[slot[1]].append(slot)
        self.idents = places(
            (*several.pop(), thread)
            for thread, several in zip(shape.threads, of_span, strict=True)
            if thread >= 0
        )
        root, *below = of_span
        breakdown = len(root) - len(shape.plan.own)
        self.breakdown = places((*slot, number) for number, slot in enumerate(root[:breakdown]))
        figures, hops = root[breakdown:], []
        for plan, several in zip(shape.spans, below, strict=True):
            count = len(plan.figures)
            figures += several[:count]
            if plan.hop is not None:
                seen = [n for n, there in enumerate(shape.observed[plan.hop]) if there]
                cells = [plan.hop * HOP_CELLS + n for n in (*seen, len(HOP_PHASES))]
                hops += [(*slot, one) for slot, one in zip(several[count:], cells, strict=True)]
        self.figures = places((*slot, number) for number, slot in enumerate(figures))
        self.hops = places(hops)

    def _put_collapsed_figures(self, shape: SpanShape) -> None:
        """Say for each span which figures grow by what it lost (-1 for none), and what it adds."""
        several = [(None, shape.plan.own), *((layer_of(one), one.figures) for one in shape.spans)]
        grows, more = zip(*(_collapsed_figure(*one) for one in several), strict=True)
        first = np.cumsum([0, *(len(figures) for _, figures in several)])[:-1]
        self.grows = np.array(grows, np.int64)
        self.grows += np.where(self.grows < 0, 0, first[:, None])
        self.collapsed: tuple[CollapsedFigure, ...] = more
        self.more = np.array([(len(one.content), one.before, one.lost) for one in more], np.int64)


def places(several: Iterable[tuple[int, int, int]]) -> Places:
    """Return rows as columns."""
    return Places(*np.array(tuple(several), np.int64).reshape(-1, 3).T)


def figure(name: str) -> bytes:
    """Return what goes before the value of an attribute that is a whole number."""
    named: bytes = KeyValue(key=name).SerializeToString() + _VALUE
    return _ATTRIBUTE + varint(len(named) + WIDE) + named


def _collapsed_figure(
    layer: str | None, figures: Sequence[Figure]
) -> tuple[list[int], CollapsedFigure]:
    own, more = with_collapsed([(one.name, 0) for one in figures], layer, 1)
    grows = [number for number, (_, grown) in enumerate(own) if grown]
    content, at = b"", {0: -1, 1: -1}
    for name, is_lost in more:
        content += figure(name)
        at[is_lost] = len(content)
        content += bytes(WIDE)
    return [*grows, -1][:2], CollapsedFigure(content, at[0], at[1])


def _ints(numbers: Iterable[Any]) -> Ints:
    return np.array(tuple(numbers), np.int64)
