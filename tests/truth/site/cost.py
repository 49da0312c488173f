"""Costs that are injected where the request's query says, and measured by themselves.

`?spend=label:spin:2,label:sleep:3` spends 2 ms and 3 ms where code calls `spend(label)`.
What was spent is noted as `(trace id, label, start_ns, end_ns, thread)` and read at
`notes/`; the trace id is empty where the context did not come along.
"""

from __future__ import annotations

import threading
import time
import urllib.parse
from contextvars import ContextVar

PLAN: ContextVar[dict[str, tuple[str, float]]] = ContextVar("truth_plan")
TRACE: ContextVar[str] = ContextVar("truth_trace", default="")
NOTES: list[tuple[str, str, int, int, int]] = []
now = time.perf_counter_ns


def set_plan(query: str, traceparent: str) -> None:
    """Read the plan from a query string, and whose it is from a header."""
    TRACE.set(traceparent.split("-")[1] if traceparent else "")
    plan = {}
    for entry in urllib.parse.parse_qs(query).get("spend", [""])[0].split(","):
        if entry:
            label, how, ms = entry.split(":")
            plan[label] = (how, float(ms))
    PLAN.set(plan)


def spend(label: str) -> None:
    """Spend what is planned for here, if anything."""
    planned = PLAN.get({}).get(label)
    if planned is not None:
        spend_now(label, *planned)


def spend_now(label: str, how: str, ms: float) -> None:
    """Spend and note it."""
    start = now()
    if how == "sleep":
        time.sleep(ms / 1000)
    else:
        end = start + round(ms * 1_000_000)
        while now() < end:
            pass
    note(label, start)


def note(label: str, start: int) -> None:
    """Note what lasted from `start` until now."""
    trace, thread = TRACE.get(), threading.get_native_id()
    NOTES.append((trace, label, start, now(), thread))
