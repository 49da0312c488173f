"""Speedscope's JSON: a profile in time for each thread and a stitched one, or one by stack.

https://www.speedscope.app/file-format-schema.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.flame.tree import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.flame.flame_graph import FlameGraph
    from tracer.analysis.flame.pieces import Piece, Step
    from tracer.analysis.flame.tree import StackTotals

_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"


class _Frames:
    """The table of frames that all profiles share."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self.table: list[dict[str, Any]] = []

    def number(self, step: Step) -> int:
        key = (step.name, step.where)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.table)
            frame: dict[str, Any] = {"name": step.name}
            file, _, line = step.where.rpartition(":")
            if file:
                frame |= {"file": file, "line": int(line)}
            self.table.append(frame)
        return found


def speedscope(picture: FlameGraph) -> dict[str, Any]:
    """Return the document; instants are nanoseconds since the request's start."""
    frames = _Frames()
    if picture.request is not None:
        profiles = _in_time(picture, frames, picture.request.start_ns)
    else:
        profiles = [_by_stack(picture.names[0] or picture.title, picture.totals, frames)]
        if picture.against is not None:
            profiles.append(_by_stack(picture.names[1], picture.against, frames))
    return {
        "$schema": _SCHEMA,
        "name": picture.title,
        "exporter": "django-layer-tracer: " + "; ".join(picture.notes),
        "activeProfileIndex": 0,
        "shared": {"frames": frames.table},
        "profiles": profiles,
    }


def _in_time(picture: FlameGraph, frames: _Frames, start_ns: int) -> list[dict[str, Any]]:
    every = [*picture.pieces, *picture.after]
    profiles = [_evented("all threads, stitched", every, frames, start_ns)]
    beside = [*every, *picture.overlapped]
    for thread in sorted({piece.thread for piece in beside if piece.thread is not None}):
        own = _apart(sorted((p for p in beside if p.thread == thread), key=lambda p: p.start_ns))
        profiles.append(_evented(f"thread {thread}", own, frames, start_ns))
    return profiles


def _apart(pieces: Sequence[Piece]) -> list[Piece]:
    """Leave out what overlaps on one thread: a profile is properly nested."""
    found: list[Piece] = []
    for piece in pieces:
        if not found or piece.start_ns >= found[-1].end_ns:
            found.append(piece)
    return found


def _evented(name: str, pieces: Sequence[Piece], frames: _Frames, start_ns: int) -> dict[str, Any]:
    return {
        "type": "evented",
        "name": name,
        "unit": "nanoseconds",
        "startValue": pieces[0].start_ns - start_ns if pieces else 0,
        "endValue": pieces[-1].end_ns - start_ns if pieces else 0,
        "events": [
            {"type": kind, "frame": frames.number(step), "at": instant - start_ns}
            for kind, instant, step in events(pieces)
        ],
    }


def _by_stack(name: str, totals: StackTotals, frames: _Frames) -> dict[str, Any]:
    paths = sorted(totals.by_path.items())
    return {
        "type": "sampled",
        "name": name,
        "unit": "nanoseconds",
        "startValue": 0,
        "endValue": totals.total_ns,
        "samples": [[frames.number(step) for step in path] for path, _ in paths],
        "weights": [ns for _, ns in paths],
    }
