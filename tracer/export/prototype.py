"""A trace's message made once a shape: for each request only what changes is set in it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from tracer.analysis.drawn import Drawn, extra_span, layer_of, with_loss
from tracer.analysis.span_root import SLOWEST, slowest
from tracer.layers import HOP_PHASES
from tracer.span_ids import span_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tracer.analysis.span_plan import Figure
    from tracer.analysis.spans import Span

    Append = Callable[[Any, Span, bytes, str], None]

_SPANS: Final = 20_000
"""So many spans may the prototypes have that are kept; the least used go first."""

_BYTES: Final = 8


class Prototype:
    """The message of one shape's spans, and the places in it that change."""

    def __init__(self, drawn: Drawn, append: Append) -> None:
        """Make it from a request of the shape; `append` adds a span to a message."""
        self.message = ScopeSpans()
        spans = drawn._replace(extras=(), lost=None).trace().spans
        for one in spans:
            append(self.message.spans, one, b"", drawn.state)
        self.spans = list(self.message.spans)
        root, *below = self.spans
        shape = drawn.shape
        self.threads: list[tuple[int, Any]] = []
        # Layers, unattributed and after come first among the root's figures.
        changing = [one.value for one in root.attributes][len(spans[0].said) :]
        self._take_thread(shape.threads[0], changing)
        breakdown = len(changing) - len(shape.plan.own)
        self.breakdown, self.figures = changing[:breakdown], changing[breakdown:]
        self._losses = [_loss(root, None, shape.plan.own, self.figures)]
        self._added: list[tuple[Any, int]] = []
        self.slowest = next(one.value for one in root.attributes if one.key == SLOWEST)
        self.hops: list[tuple[int, int, Any]] = []
        self.events: list[Any] = []
        for plan, message, said, thread in zip(
            shape.spans, below, spans[1:], shape.threads[1:], strict=True
        ):
            values = [one.value for one in message.attributes][len(said.said) :]
            self._take_thread(thread, values)
            mine = values[: len(plan.figures)]
            self.figures += mine
            self._losses.append(_loss(message, layer_of(plan), plan.figures, mine))
            self.events += message.events
            if plan.hop is not None:
                seen = [n for n, there in enumerate(shape.observed[plan.hop]) if there]
                places = [*seen, len(HOP_PHASES)]
                rest = values[len(plan.figures) :]
                self.hops += [(plan.hop, n, value) for n, value in zip(places, rest, strict=True)]
        self.masks = [one.mask for one in shape.spans]
        self.parents = [one.parent for one in shape.spans]

    def _take_thread(self, thread: int, values: list[Any]) -> None:
        """Take a span's thread off its figures, where it has one: it comes last."""
        if thread >= 0:
            self.threads.append((thread, values.pop()))

    def fill(self, drawn: Drawn) -> None:
        """Put a request in; whoever is there is overwritten."""
        trace_id = _id(drawn)
        root, *below = self.spans
        root_id = drawn.root_id
        root.trace_id, root.span_id = trace_id, root_id.to_bytes(_BYTES, "big")
        if drawn.parent_id is not None:
            root.parent_span_id = drawn.parent_id.to_bytes(_BYTES, "big")
        root.start_time_unix_nano, root.end_time_unix_nano = drawn.start_ns, drawn.end_ns
        self.slowest.string_value = slowest(drawn.layers)
        for value, number in zip(self.breakdown, _breakdown(drawn), strict=True):
            value.int_value = number
        ids = [span_id(root_id, mask).to_bytes(_BYTES, "big") for mask in self.masks]
        ids.append(root.span_id)  # where a parent of `NO_PARENT` finds it
        for message, own, parent, start, end in zip(
            below, ids, self.parents, drawn.starts, drawn.ends, strict=False
        ):
            message.trace_id = trace_id
            message.span_id = own
            message.parent_span_id = ids[parent]
            message.start_time_unix_nano = start
            message.end_time_unix_nano = end
        for value, number in zip(self.figures, drawn.figures, strict=True):
            value.int_value = number
        for event, instant in zip(self.events, drawn.events, strict=True):
            event.time_unix_nano = instant
        hops = drawn.hops
        for hop, place, value in self.hops:
            value.int_value = hops[hop][place]
        idents = drawn.idents
        for thread, value in self.threads:
            value.int_value = idents[thread]
        if drawn.lost is not None:
            self._lose(drawn.lost)

    def content(self) -> bytes:
        """Return the message as it was filled."""
        content: bytes = self.message.SerializeToString()
        for attributes, count in self._added:
            del attributes[count:]
        self._added.clear()
        return content

    def _lose(self, lost: dict[int, int]) -> None:
        for place, ns in lost.items():
            attributes, changing, more = self._losses[place + 1]
            before = changing[0].int_value
            for value in changing:
                value.int_value += ns
            if more:
                self._added.append((attributes, len(attributes)))
                for name, of_lost in more:
                    attributes.add(key=name).value.int_value = ns if of_lost else before


class Prototypes:
    """Those used of late, by shape and facts."""

    def __init__(self, append: Append) -> None:
        """Keep none yet; `append` adds a span with its trace's id and state to a message."""
        self._append = append
        self._kept: OrderedDict[tuple[object, ...], Prototype] = OrderedDict()
        self._spans = 0

    def encode(self, drawn: Drawn) -> tuple[bytes, int]:
        """Return a request's spans as `ScopeSpans.spans`, and how many there are."""
        made = self._of(drawn)
        made.fill(drawn)
        content = made.content()
        if not drawn.extras:
            return content, len(made.spans)
        more = ScopeSpans()
        for extra in drawn.extras:
            masked = made.masks[extra.holder] if extra.holder >= 0 else 0
            parent = span_id(drawn.root_id, masked) if masked else drawn.root_id
            one = extra_span(extra, drawn.root_id, parent)
            self._append(more.spans, one, _id(drawn), drawn.state)
        return content + more.SerializeToString(), len(made.spans) + len(drawn.extras)

    def _of(self, drawn: Drawn) -> Prototype:
        # The shape itself is in the key: so nothing else can come to have its address.
        fixed = drawn.facts, drawn.placed, drawn.called, drawn.state
        key = (drawn.shape, drawn.parent_id is None, *fixed)
        made = self._kept.get(key)
        if made is not None:
            self._kept.move_to_end(key)
            return made
        made = self._kept[key] = Prototype(drawn, self._append)
        self._spans += len(made.spans)
        while self._spans > _SPANS and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._spans -= len(old.spans)
        return made


def _loss(
    message: Any, layer: str | None, figures: Iterable[Figure], values: Sequence[Any]
) -> tuple[Any, list[Any], list[tuple[str, int]]]:
    """Return which of a span's figures a nanosecond lost changes, and which it adds."""
    own, more = with_loss([(one.name, 0) for one in figures], layer, 1)
    changing = [value for value, (_, changed) in zip(values, own, strict=True) if changed]
    return message.attributes, changing, more


def _id(drawn: Drawn) -> bytes:
    return drawn.trace_id.to_bytes(2 * _BYTES, "big")


def _breakdown(drawn: Drawn) -> list[int]:
    *_, unattributed = drawn.layers
    return [*drawn.layers, unattributed, drawn.after_ns]
