"""Traces as the SDK's own `ReadableSpan`s: for every exporter that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from tracer.export.resources import resource_of, scope

if TYPE_CHECKING:
    from tracer.analysis.spans.spans import Span, Trace
    from tracer.export.span_limits import Limits

SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def readable_spans(trace: Trace, limits: Limits) -> list[ReadableSpan]:
    """Return the spans of a trace, the root first."""
    return [_span(trace, limits.apply(one)) for one in trace.spans]


def _span(trace: Trace, one: Span) -> ReadableSpan:
    parent = None
    if one.parent_id is not None:
        parent = SpanContext(trace.trace_id, one.parent_id, one.server, SAMPLED)
    state = TraceState.from_header([trace.state]) if trace.state else None
    return ReadableSpan(
        name=one.name,
        context=SpanContext(trace.trace_id, one.span_id, False, SAMPLED, state),  # noqa: FBT003
        parent=parent,
        resource=resource_of(trace.pid),
        attributes=one.attributes,
        events=[Event(name, timestamp=at) for name, at in one.events],
        kind=SpanKind.SERVER if one.server else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR if one.failed else StatusCode.UNSET),
        start_time=one.start_ns,
        end_time=one.end_ns,
        instrumentation_scope=scope(),
    )
