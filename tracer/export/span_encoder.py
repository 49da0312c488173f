"""Traces as OTLP requests; the SDK's encoder takes twenty times as long for the same."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from tracer.analysis.spans.span_row import SpanRow
from tracer.export.prepared_trace import PreparedTraces
from tracer.export.span_messages import resource_spans, scope_spans
from tracer.export.trace_part import TracePart

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.analysis.spans.span_builder import SpanBatch
    from tracer.analysis.spans.spans import Trace
    from tracer.export.span_limits import Limits

_SEVEN_BITS: Final = 0x7F


class SpanEncoder:
    """Encodes traces, and batches of them."""

    def __init__(self, limits: Limits) -> None:
        """Encode what the limits leave."""
        self._limits = limits
        self._prepared = PreparedTraces(limits)
        self._resources: dict[int, tuple[bytes, bytes]] = {}

    def encode(self, batch: SpanBatch, most: int) -> list[list[TracePart]]:
        """Return each request's trace in parts of at most so many spans."""
        return [
            self._encode_row(one, most) if isinstance(one, SpanRow) else self._parts(one, most)
            for one in batch.requests
        ]

    def request(self, several: Iterable[TracePart]) -> bytes:
        """Return an `ExportTraceServiceRequest`."""
        by_pid: defaultdict[int, list[bytes]] = defaultdict(list)
        for one in several:
            by_pid[one.pid].append(one.content)
        parts: list[bytes] = []
        for pid, spans in by_pid.items():
            resource, scope = self._resource(pid)
            size = len(scope) + sum(map(len, spans))
            inner = resource + _field_head(ResourceSpans.SCOPE_SPANS_FIELD_NUMBER, size)
            outer = ExportTraceServiceRequest.RESOURCE_SPANS_FIELD_NUMBER
            parts += (_field_head(outer, len(inner) + size), inner, scope, *spans)
        return b"".join(parts)

    def _encode_row(self, row: SpanRow, most: int) -> list[TracePart]:
        cut = bool(row.lost) and self._limits.any
        if cut or row.size > most:
            return self._parts(row.trace(), most)
        content = self._prepared.of(row).encode(row)
        return [TracePart(row.origin.pid, row.size, content)]

    def _parts(self, trace: Trace, most: int) -> list[TracePart]:
        spans = [self._limits.apply(one) for one in trace.spans]
        several = [spans[first : first + most] for first in range(0, len(spans), most)]
        return [
            TracePart(
                trace.pid,
                len(one),
                scope_spans(one, trace.trace_id, trace.state).SerializeToString(),
            )
            for one in several
        ]

    def _resource(self, pid: int) -> tuple[bytes, bytes]:
        """Return what goes before a worker's spans: its resource, and the scope."""
        found = self._resources.get(pid)
        if found is None:
            message = resource_spans(pid)
            scope = message.scope_spans[0].SerializeToString()
            del message.scope_spans[:]
            found = self._resources[pid] = (message.SerializeToString(), scope)
        return found


def _field_head(number: int, size: int) -> bytes:
    """Return what stands before a serialized message where it is a field of another.

    So it needn't be parsed to be put there: https://protobuf.dev/programming-guides/encoding/
    """
    head = bytearray([number << 3 | 2])
    while size > _SEVEN_BITS:
        head.append(size & _SEVEN_BITS | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
