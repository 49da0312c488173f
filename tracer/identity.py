"""Which ids a request has: its own, and those its caller gave it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tracer.traceparent import parse_traceparent

if TYPE_CHECKING:
    from tracer.timeline import Timeline


def identify(timeline: Timeline) -> tuple[int, int, int | None]:
    """Return request, trace and parent span id; what the server lent is given back."""
    read_headers, timeline.read_headers = timeline.read_headers, None
    settled: tuple[int, int, int | None] | None = getattr(read_headers, "ids", None)
    if settled is not None:
        return settled
    request_id, verdict = random.getrandbits(64) or 1, timeline.verdict
    if verdict.trace_id:
        return request_id, verdict.trace_id, verdict.parent_span_id
    headers = read_headers() if read_headers is not None else {}
    parent = parse_traceparent(headers.get("traceparent"))
    if parent is not None:
        return request_id, parent[0], parent[1]
    return request_id, random.getrandbits(128) or 1, None
