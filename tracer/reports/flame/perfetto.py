"""Chrome's trace JSON, which Perfetto opens: a track a thread, arrows where it changes thread.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.flame.tree import spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.flame.flame_graph import FlameGraph
    from tracer.analysis.flame.pieces import Piece

_STITCHED: Final = 0
_NS: Final = 1000
"""Instants are microseconds there, with digits for nanoseconds behind the point."""


def perfetto(picture: FlameGraph) -> dict[str, Any]:
    """Return the document of one request; raise `ValueError` for what isn't one in time."""
    request = picture.request
    if request is None:
        raise ValueError("Perfetto shows one request in time")
    every = [*picture.pieces, *picture.after]
    beside = sorted([*every, *picture.overlapped], key=lambda piece: piece.start_ns)
    threads = sorted({piece.thread for piece in beside if piece.thread is not None})
    trace: list[dict[str, Any]] = [_named(request, "process_name", _STITCHED, _process(request))]
    trace.append(_named(request, "thread_name", _STITCHED, "request, stitched"))
    trace += [_named(request, "thread_name", thread, f"thread {thread}") for thread in threads]
    trace += _slices(request, every, _STITCHED)
    for thread in threads:
        own = [piece for piece in beside if piece.thread == thread]
        trace += _slices(request, own, thread)
    trace += _arrows(request, every)
    trace += _loop_lag(request)
    return {
        "traceEvents": trace,
        "displayTimeUnit": "ns",
        "otherData": {
            "title": picture.title,
            "trace_id": request.trace_id,
            "request_id": request.request_id,
            "notes": list(picture.notes),
        },
    }


def _process(request: Request) -> str:
    return f"{request.server} {request.pid}: {request.method} {request.route or ''}"


def _named(request: Request, what: str, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": request.pid, "tid": thread, "args": {"name": name}}


def _slices(request: Request, pieces: Sequence[Piece], thread: int) -> Iterator[dict[str, Any]]:
    for span in spans(pieces):
        slice_: dict[str, Any] = {
            "ph": "X",
            "name": span.step.name,
            "cat": span.step.layer,
            "ts": (span.start_ns - request.start_ns) / _NS,
            "dur": (span.end_ns - span.start_ns) / _NS,
            "pid": request.pid,
            "tid": thread,
        }
        if span.step.where:
            slice_["args"] = {"where": span.step.where}
        yield slice_


def _arrows(request: Request, pieces: Sequence[Piece]) -> Iterator[dict[str, Any]]:
    """From where the request leaves a thread to where it goes on."""
    ran = [piece for piece in pieces if piece.thread is not None]
    for number, (one, other) in enumerate(itertools.pairwise(ran), start=1):
        if one.thread == other.thread:
            continue
        arrow = {"name": "hand-off", "cat": "handoff", "id": number, "pid": request.pid}
        # An arrow belongs to the slice around its instant, so it begins just inside.
        leaves = (max(one.end_ns - 1, one.start_ns) - request.start_ns) / _NS
        yield {**arrow, "ph": "s", "tid": one.thread, "ts": leaves}
        goes_on = (other.start_ns - request.start_ns) / _NS
        yield {**arrow, "ph": "f", "bp": "e", "tid": other.thread, "ts": goes_on}


def _loop_lag(request: Request) -> Iterator[dict[str, Any]]:
    """How long the loop has kept the request waiting, while it does, in milliseconds."""
    for segment in request.segments:
        if segment.layer == "event_loop":
            points = ((segment.start_ns, segment.duration_ns / 1e6), (segment.end_ns, 0.0))
            for instant, value in points:
                yield {
                    "ph": "C",
                    "name": "loop lag",
                    "pid": request.pid,
                    "ts": (instant - request.start_ns) / _NS,
                    "args": {"ms": value},
                }
