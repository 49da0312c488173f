"""Conservation: whatever comes in, what goes out tiles its window exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.analysis.attribution.blame import like
from tracer.analysis.attribution.request import Segment
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterable


def tile(segments: Iterable[Segment], start_ns: int, end_ns: int) -> tuple[Segment, ...]:
    """Return segments that tile `[start_ns, end_ns)`: clipped, merged, gaps owned.

    The first of two that overlap keeps the time; a gap is `unattributed`.
    """
    tiled: list[Segment] = []
    cursor = start_ns
    for segment in segments:
        low, high = max(segment.start_ns, cursor), min(segment.end_ns, end_ns)
        if low >= high:
            continue
        if low > cursor:
            _append(tiled, Segment(cursor, low, "unattributed"))
        _append(tiled, like(segment, low, high))
        cursor = high
    if cursor < end_ns:
        _append(tiled, Segment(cursor, end_ns, "unattributed"))
    return tuple(tiled)


def sum_layers(segments: Iterable[Segment]) -> dict[str, int]:
    """Return nanoseconds per layer, layers without any left in with 0."""
    sums: dict[str, int] = dict.fromkeys(LAYERS, 0)
    for segment in segments:
        sums[segment.layer] += segment.end_ns - segment.start_ns
    return sums


def _append(tiled: list[Segment], segment: Segment) -> None:
    if tiled and _same_owner(tiled[-1], segment):
        tiled[-1] = like(tiled[-1], tiled[-1].start_ns, segment.end_ns)
    else:
        tiled.append(segment)


def _same_owner(one: Segment, other: Segment) -> bool:
    return (
        one.layer == other.layer
        and one.detail == other.detail
        and one.phase == other.phase
        and one.part == other.part
        and one.state == other.state
        and one.thread == other.thread
        and one.certainty == other.certainty
        and one.preempted_on == other.preempted_on
    )
