"""Datadog's tracer with everything it patches by itself; it speaks to no one but the sink."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from benchmarks.peers import sink

if TYPE_CHECKING:
    from collections.abc import Callable

TITLE = "ddtrace"
DISTRIBUTION = "ddtrace"
REQUIREMENTS = ("ddtrace",)


def start() -> None:
    """Patch what `ddtrace-run` would."""
    os.environ["DD_TRACE_AGENT_URL"] = sink()
    os.environ["DD_SERVICE"] = "demo"
    # Both would ask for more than a receiver of traces has to answer.
    os.environ["DD_INSTRUMENTATION_TELEMETRY_ENABLED"] = "false"
    os.environ["DD_REMOTE_CONFIGURATION_ENABLED"] = "false"
    import ddtrace.auto  # noqa: F401 - the import is what installs it


def watch() -> Callable[[], int]:
    """Count the spans of the traces that are finished."""
    from ddtrace.trace import TraceFilter, tracer

    sizes: list[int] = []

    class Counter(TraceFilter):
        def process_trace(self, trace: list[Any]) -> list[Any]:
            """Count its spans and let it pass."""
            sizes.append(len(trace))
            return trace

    tracer.configure(trace_processors=[Counter()])
    return lambda: sum(sizes)
