"""Whose time a garbage collection was, of requests attributed by plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis.shapes.columns import Collection
from tracer.model import timeline as t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracer.analysis.shapes.batch import Pause, Shapes
    from tracer.analysis.shapes.columns import SegmentColumns
    from tracer.analysis.shapes.intern_table import InternTable
    from tracer.model.layers import Owner

    Ints = NDArray[np.int64]

_BEGINNING: Final = (t.RUN, t.STEP)
_ENTRIES: Final = (t.ENTER, t.HOP, t.CALL)
"""After one of these, no BEGUN takes back when a track began."""


def collections_in(
    segments: SegmentColumns,
    segments_from: Ints,
    shapes: Shapes,
    places: Sequence[int],
    names: InternTable,
) -> tuple[list[Collection], set[int]]:
    """Return the collections that took an owner's time, and the requests with one out of place.

    Those must be attributed by themselves. Requests are numbered in the order of `places`.
    """
    found: list[Collection] = []
    needs_fallback: set[int] = set()
    number_of = {place: number for number, place in enumerate(places)}
    for pause in shapes.pauses:
        number = number_of.get(pause.place)
        if number is None:
            continue
        low, high = int(segments_from[number]), int(segments_from[number + 1])
        row = low + int(np.searchsorted(segments.low[low:high], pause.start, "right")) - 1
        if row < low:
            needs_fallback.add(number)
            continue
        owner: Owner = names.owners.things[segments.owner[row]]
        runs = bool(segments.runs[row])
        if not (
            segments.low[row] < pause.start < pause.end < segments.high[row]
            and _is_plain(shapes, pause, owner, runs=runs)
        ):
            needs_fallback.add(number)
        elif runs and owner.layer != "handoff":
            length = pause.end - pause.start
            within = bool(segments.within[row])
            found.append(Collection(number, int(segments.owner[row]), length, within))
    return found, needs_fallback


def _is_plain(shapes: Shapes, pause: Pause, owner: Owner, *, runs: bool) -> bool:
    """Say whether a collection is so plainly within a segment that nothing else can matter."""
    begin, end = int(shapes.bounds[pause.place]), int(shapes.bounds[pause.place + 1])
    before = begin + int(np.searchsorted(shapes.instants[begin:end], pause.start, "right")) - 1
    if before < begin or before + 1 >= end:
        return False
    if not shapes.instants[before] < pause.start < pause.end < shapes.instants[before + 1]:
        return False
    thread = shapes.thread_base[pause.place]
    mine = [
        int(shapes.threads[thread + shapes.on[at]]) == pause.thread for at in (before, before + 1)
    ]
    if mine[0] and shapes.codes[before] in _BEGINNING and shapes.codes[before + 1] not in _ENTRIES:
        return False
    if not runs:
        return owner.layer != "server"
    return owner.layer == "handoff" or all(mine)
