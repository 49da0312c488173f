"""Which ids a request has: its own, and those its caller gave it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tracer.model.randomness import random_bits
from tracer.model.traceparent import parse_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.frames import Ids
    from tracer.model.timeline import Timeline
    from tracer.model.traceparent import ReadHeaders


def head_of(timeline: Timeline) -> Any:
    """Return the server's own object for a request's head, as lent to us, or None."""
    lent: Any = timeline.read_headers
    while lent is not None and type(lent) is not partial:
        lent = getattr(lent, "lent", None)
    return lent.args[0] if lent is not None else None


class Settled:
    """Ids given out before the end: they stay. It stands for the headers it was made of."""

    def __init__(self, lent: ReadHeaders | None, ids: Ids) -> None:
        """Keep both."""
        self.lent, self.ids = lent, ids

    def __call__(self) -> dict[str, str]:
        """Return the headers."""
        return self.lent() if self.lent is not None else {}


def settle(timeline: Timeline, live: Callable[[Timeline], Ids] | None) -> Ids:
    """Return request, trace and parent span id while the request runs; from now on they are so.

    `live` gives them where a user's own OpenTelemetry has a say.
    """
    if live is not None:
        return live(timeline)
    lent = timeline.read_headers
    settled: Ids | None = getattr(lent, "ids", None)
    if settled is None:
        settled = identify(timeline)
        timeline.read_headers = Settled(lent, settled)
    return settled


def identify(timeline: Timeline) -> Ids:
    """Return request, trace and parent span id; what the server lent is given back."""
    read_headers, timeline.read_headers = timeline.read_headers, None
    if type(read_headers) is not partial:
        settled: Ids | None = getattr(read_headers, "ids", None)
        if settled is not None:
            return settled
    verdict = timeline.verdict
    if verdict.trace_id:
        return random_bits(64) or 1, verdict.trace_id, verdict.parent_span_id
    if read_headers is not None and (headers := read_headers()):
        parent = parse_traceparent(headers.get("traceparent"))
        if parent is not None:
            return random_bits(64) or 1, parent[0], parent[1]
    return random_bits(64) or 1, random_bits(128) or 1, None
