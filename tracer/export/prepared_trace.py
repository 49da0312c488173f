"""One message for all requests of a shape: only ids, instants and durations are set anew."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from tracer.analysis.spans.span_row import SELF_PREFIX, layer_of, with_collapsed
from tracer.export.span_messages import scope_spans, span_id_bytes, trace_id_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.analysis.spans.span_row import SpanRow
    from tracer.export.span_limits import Limits

_MOST: Final = 20_000
"""So many spans may the messages have that are kept; the least used go first."""

_USES: Final = 64
"""So often are a message's fields set: `upb` frees what they were only with the message."""


class PreparedTrace:
    """The spans of requests that share names and attributes, as `ScopeSpans.spans`.

    The message is built once. Setting some fields of it again and serializing it takes a
    twentieth of the time that the SDK's encoder needs.
    """

    def __init__(self, row: SpanRow, limits: Limits) -> None:
        """Build the message as it is for each request like this one."""
        self._limits = limits
        spans = [limits.apply(one) for one in row.with_places().trace().spans]
        self._parents = [one.parent + 1 for one in row.shape.spans]
        self._layers = [None, *map(layer_of, row.shape.spans)]
        self._said = [len(one.said) for one in spans]
        self._names = [[name for name, _ in one.figures] for one in spans]
        # What `with_places` made of the row says where each number is found in the next one.
        self._number_places = [place for one in spans for _, place in one.figures]
        self._event_places = [place for one in spans for _, place in one.events]
        self._content = scope_spans(spans, 0, row.state).SerializeToString()
        self._uses = 0
        self._parse()

    def __len__(self) -> int:
        """Return how many spans there are."""
        return len(self._spans)

    def encode(self, row: SpanRow) -> bytes:
        """Return the spans of a request."""
        self._uses += 1
        if self._uses % _USES == 0:
            self._parse()
        ids = row.ids()
        self._set_ids(row, ids)
        for message, start, end in zip(self._spans, row.starts, row.ends, strict=True):
            message.start_time_unix_nano = start
            message.end_time_unix_nano = end
        numbers, instants = row.numbers, row.events
        for value, place in zip(self._numbers, self._number_places, strict=True):
            value.int_value = numbers[place]
        for event, place in zip(self._events, self._event_places, strict=True):
            event.time_unix_nano = instants[place]
        content = self._serialized(row.lost)
        if row.extras:
            spans = [self._limits.apply(one) for one in row.extra_spans(ids)]
            extras = scope_spans(spans, row.head.trace_id, row.state)
            # Serialized messages that are concatenated are one message, with the spans of both.
            content += extras.SerializeToString()
        return content

    def _parse(self) -> None:
        """Begin with a new message: one whose fields are set again keeps what they were."""
        self._message = ScopeSpans.FromString(self._content)
        self._spans = list(self._message.spans)
        values = [
            [one.value for one in span.attributes][first:]
            for span, first in zip(self._spans, self._said, strict=True)
        ]
        self._values = [
            dict(zip(names, several, strict=True))
            for names, several in zip(self._names, values, strict=True)
        ]
        self._numbers = list(chain.from_iterable(values))
        self._events = [event for span in self._spans for event in span.events]

    def _set_ids(self, row: SpanRow, ids: list[int]) -> None:
        trace_id = trace_id_bytes(row.head.trace_id)
        several = [span_id_bytes(one) for one in ids]
        root, *below = self._spans
        for message, own in zip(self._spans, several, strict=True):
            message.trace_id = trace_id
            message.span_id = own
        for message, parent in zip(below, self._parents, strict=True):
            message.parent_span_id = several[parent]
        if row.head.parent_span_id is not None:
            root.parent_span_id = span_id_bytes(row.head.parent_span_id)

    def _serialized(self, lost: Mapping[int, int]) -> bytes:
        """Return the message, with what others had of the loop in spans."""
        added = []
        for place, ns in lost.items():
            attributes, values = self._spans[place].attributes, self._values[place]
            own = [
                (name, value.int_value)
                for name, value in values.items()
                if name.startswith(SELF_PREFIX)
            ]
            grown, more = with_collapsed(own, self._layers[place], ns)
            for name, number in grown:
                values[name].int_value = number
            for name, number in more:
                attributes.add(key=name).value.int_value = number
            added.append((attributes, len(more)))
        content: bytes = self._message.SerializeToString()
        for attributes, count in added:
            del attributes[len(attributes) - count :]
        return content


class PreparedTraces:
    """The messages used of late, by what their requests have in common."""

    def __init__(self, limits: Limits) -> None:
        """Keep none yet."""
        self._limits = limits
        self._kept: OrderedDict[tuple[object, ...], PreparedTrace] = OrderedDict()
        self._spans = 0

    def of(self, row: SpanRow) -> PreparedTrace:
        """Return the message for a request, built if it isn't there yet."""
        origin = row.origin
        said = origin.facts, origin.placed, origin.called
        # The shape itself is in the key: so nothing else can come to have its address.
        key = (row.shape, row.slowest, row.state, row.head.parent_span_id is None, *said)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        found = self._kept[key] = PreparedTrace(row, self._limits)
        self._spans += len(found)
        while self._spans > _MOST and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._spans -= len(old)
        return found
