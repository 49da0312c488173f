"""Traces as bytes of OTLP: what spans have in common is serialised once and merged.

The SDK's encoder takes ten times as long for the same bytes. Messages that are
concatenated are merged by whoever parses them, and so are repeated fields:
https://protobuf.dev/programming-guides/encoding/#last-one-wins
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from tracer.export.filling import fill, fits
from tracer.export.protobuf import BYTES, field, tag
from tracer.export.readable import SAMPLED
from tracer.export.resources import resource_of, scope
from tracer.export.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracer.analysis.spans.columns import Columns
    from tracer.analysis.spans.span_attributes import Value
    from tracer.analysis.spans.span_builder import SpanBatch
    from tracer.analysis.spans.spans import Span, Trace
    from tracer.export.limiting import Limits

_RESOURCE_SPANS: Final = tag(ExportTraceServiceRequest, "resource_spans", BYTES)
_SCOPE_SPANS: Final = tag(ResourceSpans, "scope_spans", BYTES)
_MOST_CONSTANTS: Final = 20_000


class Packed(NamedTuple):
    """Spans of one trace (or a part of it) as `ScopeSpans.spans`, and how many there are."""

    pid: int
    size: int
    spans: bytes | memoryview


class Wire:
    """Encodes traces, and batches of them."""

    def __init__(self, limits: Limits) -> None:
        """Encode what the limits leave."""
        self._limits = limits
        self._constants: dict[tuple[object, ...], bytes] = {}
        self._around: dict[int, tuple[bytes, bytes]] = {}
        self._templates = Templates(self._constant)

    def pack_all(self, drawing: SpanBatch, most: int) -> list[list[Packed]]:
        """Return each request's trace in pieces of at most so many spans."""
        found = {place: self.pack(trace, most) for place, trace in drawing.alone.items()}
        if drawing.columns is not None:
            packed = self._pack_columns(drawing.columns, most)
            found |= zip(drawing.places, packed, strict=True)
        return [found[place] for place in sorted(found)]

    def pack(self, trace: Trace, most: int) -> list[Packed]:
        """Return a trace in pieces of at most so many spans."""
        return [
            self._pack(trace, trace.spans[first : first + most])
            for first in range(0, len(trace.spans), most)
        ]

    def _pack_columns(self, columns: Columns, most: int) -> list[list[Packed]]:
        if self._limits.any or not fits(columns):
            return [self.pack(columns.one(n).trace(), most) for n in range(len(columns.heads))]
        several = fill(columns, *self._templates.of(columns))
        sizes = np.diff(columns.spans_from) + np.diff(columns.others_from)
        return [
            [Packed(origin.pid, size, content)]
            if size <= most
            else self.pack(columns.one(number).trace(), most)
            for number, (origin, size, content) in enumerate(
                zip(columns.origins, sizes.tolist(), several, strict=True)
            )
        ]

    def request(self, batch: Iterable[Packed]) -> bytes:
        """Return an `ExportTraceServiceRequest`."""
        by_pid: dict[int, list[bytes | memoryview]] = {}
        for one in batch:
            by_pid.setdefault(one.pid, []).append(one.spans)
        found = []
        for pid, spans in by_pid.items():
            resource, named = self._around_spans(pid)
            inner = field(_SCOPE_SPANS, b"".join((named, *spans)))
            found.append(field(_RESOURCE_SPANS, resource + inner))
        return b"".join(found)

    def _pack(self, trace: Trace, spans: Sequence[Span]) -> Packed:
        several, trace_id = ScopeSpans(), trace.trace_id.to_bytes(16, "big")
        for one in spans:
            self._append(several.spans, self._limits.apply(one), trace_id, trace.state)
        return Packed(trace.pid, len(spans), several.SerializeToString())

    def _append(self, to: Any, one: Span, trace_id: bytes, state: str) -> None:
        """Add a span to a message."""
        message = to.add()
        message.MergeFromString(self._constant(one))
        message.trace_id, message.trace_state = trace_id, state
        message.span_id = one.span_id.to_bytes(8, "big")
        if one.parent_id is not None:
            message.parent_span_id = one.parent_id.to_bytes(8, "big")
        message.start_time_unix_nano = one.start_ns
        message.end_time_unix_nano = one.end_ns
        say = message.attributes.add
        for name, value in one.figures:
            said = say()
            said.key = name
            said.value.int_value = value
        for name, at in one.events:
            message.events.add(name=name, time_unix_nano=at)

    def _constant(self, one: Span) -> bytes:
        remote = one.server and one.parent_id is not None
        key = (one.name, one.said, one.server, one.failed, remote)
        found = self._constants.get(key)
        if found is None:
            if len(self._constants) > _MOST_CONSTANTS:
                self._constants.clear()
            found = self._constants[key] = _constant(one, remote=remote)
        return found

    def _around_spans(self, pid: int) -> tuple[bytes, bytes]:
        """Return what goes before a worker's spans: its resource, and the scope."""
        found = self._around.get(pid)
        if found is None:
            empty = encode_spans([_specimen(pid)]).resource_spans[0]
            del empty.scope_spans[0].spans[:]
            named = empty.scope_spans[0].SerializeToString()
            del empty.scope_spans[:]
            found = self._around[pid] = (empty.SerializeToString(), named)
        return found


def _constant(one: Span, *, remote: bool) -> bytes:
    message = Message(
        name=one.name,
        kind=Message.SPAN_KIND_SERVER if one.server else Message.SPAN_KIND_INTERNAL,
        flags=_flags(remote=remote),
        status=Status(code=Status.STATUS_CODE_ERROR if one.failed else Status.STATUS_CODE_UNSET),
    )
    for name, value in one.said:
        said = message.attributes.add(key=name)
        _set(said.value, value)
    content: bytes = message.SerializeToString()
    return content


def _set(to: Any, value: Value) -> None:
    if isinstance(value, bool):
        to.bool_value = value
    elif isinstance(value, int):
        to.int_value = value
    elif isinstance(value, float):
        to.double_value = value
    elif isinstance(value, str):
        to.string_value = value
    else:
        for one in value:
            to.array_value.values.add(string_value=one)


def _specimen(pid: int, *, remote: bool = False) -> ReadableSpan:
    """Return a span of a worker's resource and our scope: the SDK encodes these for us."""
    context, parent = (SpanContext(1, 1, far, SAMPLED) for far in (False, remote))
    return ReadableSpan(
        "", context, parent, resource=resource_of(pid), instrumentation_scope=scope()
    )


@cache
def _flags(*, remote: bool) -> int:
    """Return what this SDK says of a trace's flags and of where a parent is."""
    return int(spans_in(encode_spans([_specimen(0, remote=remote)]))[0].flags)


def spans_in(request: Any) -> list[Any]:
    """Return all spans of an `ExportTraceServiceRequest`."""
    return [
        span
        for resource in request.resource_spans
        for scoped in resource.scope_spans
        for span in scoped.spans
    ]
