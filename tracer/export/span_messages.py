"""Spans as messages of `opentelemetry-proto`, by its generated classes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from tracer.export.readable_spans import SAMPLED
from tracer.export.resources import resource_of, scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.analysis.spans.span_attributes import Value
    from tracer.analysis.spans.spans import Span


def scope_spans(spans: Iterable[Span], trace_id: int, state: str) -> Any:
    """Return spans of one trace as `ScopeSpans.spans`, whose scope is left out."""
    message = ScopeSpans()
    for one in spans:
        remote = one.server and one.parent_id is not None
        message.spans.add(
            trace_id=trace_id_bytes(trace_id),
            trace_state=state,
            span_id=span_id_bytes(one.span_id),
            parent_span_id=b"" if one.parent_id is None else span_id_bytes(one.parent_id),
            name=one.name,
            kind=SpanMessage.SPAN_KIND_SERVER if one.server else SpanMessage.SPAN_KIND_INTERNAL,
            flags=_flags(remote=remote),
            status=Status(
                code=Status.STATUS_CODE_ERROR if one.failed else Status.STATUS_CODE_UNSET
            ),
            start_time_unix_nano=one.start_ns,
            end_time_unix_nano=one.end_ns,
            events=[SpanMessage.Event(name=name, time_unix_nano=at) for name, at in one.events],
        )
        attributes = message.spans[-1].attributes
        for name, value in one.said:
            _set(attributes.add(key=name).value, value)
        for name, number in one.figures:
            attributes.add(key=name).value.int_value = number
    return message


def resource_spans(pid: int) -> Any:
    """Return a worker's `ResourceSpans`: its resource, and our scope without spans."""
    message = encode_spans([_blank(pid)]).resource_spans[0]
    del message.scope_spans[0].spans[:]
    return message


def trace_id_bytes(trace_id: int) -> bytes:
    """Return a trace's id as OTLP has it."""
    return trace_id.to_bytes(16, "big")


def span_id_bytes(span_id: int) -> bytes:
    """Return a span's id as OTLP has it."""
    return span_id.to_bytes(8, "big")


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


def _blank(pid: int, *, remote: bool = False) -> ReadableSpan:
    """Return a span that says nothing, for the SDK's encoder."""
    context, parent = (SpanContext(1, 1, far, SAMPLED) for far in (False, remote))
    return ReadableSpan(
        "", context, parent, resource=resource_of(pid), instrumentation_scope=scope()
    )


@cache
def _flags(*, remote: bool) -> int:
    """Return what this SDK says of a trace's flags and of where a parent is."""
    (resource,) = encode_spans([_blank(0, remote=remote)]).resource_spans
    return int(resource.scope_spans[0].spans[0].flags)
