"""Whose time a garbage collection was, of a request attributed by a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis.shapes.batch_result import Collected
from tracer.model import timeline as t

if TYPE_CHECKING:
    from tracer.analysis.shapes.batch import Pause, Shapes
    from tracer.analysis.shapes.batch_result import BatchResult
    from tracer.analysis.shapes.plan import InternTable
    from tracer.model.layers import Owner

_BEGINNING: Final = (t.RUN, t.STEP)
_ENTRIES: Final = (t.ENTER, t.HOP, t.CALL)
"""After one of these, no BEGUN takes back when a track began."""


def collect(told: BatchResult, shapes: Shapes, places: list[int], book: InternTable) -> None:
    """Find whose time each garbage collection was, or have its request need the fallback."""
    if not shapes.pauses:
        return
    number_of = {place: number for number, place in enumerate(places)}
    first = np.searchsorted(told.segments.request, np.arange(told.count + 1))
    for pause in shapes.pauses:
        number = number_of.get(pause.place)
        if number is None:
            continue
        low, high = int(first[number]), int(first[number + 1])
        inside = np.searchsorted(told.segments.low[low:high], pause.start, "right") - 1
        segment = low + int(inside)
        if inside < 0 or not _belongs(told, shapes, pause, segment, book):
            told.needs_fallback[number] = True
        elif _counts(told, segment, book):
            owner = int(told.segments.owner[segment])
            within = bool(told.segments.within[segment])
            length = pause.end - pause.start
            told.collected.append(Collected(number, owner, length, within))


def _counts(told: BatchResult, segment: int, book: InternTable) -> bool:
    """Say whether a collection in this segment is its owner's: not in a hand-off or a wait."""
    owner = book.owners.things[told.segments.owner[segment]]
    return bool(told.segments.runs[segment]) and owner.layer != "handoff"


def _belongs(
    told: BatchResult, shapes: Shapes, pause: Pause, segment: int, book: InternTable
) -> bool:
    """Say whether a collection is so plainly within a segment that nothing else can matter."""
    one = told.segments
    if not one.low[segment] < pause.start < pause.end < one.high[segment]:
        return False
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
    owner: Owner = book.owners.things[one.owner[segment]]
    if not one.runs[segment]:
        return owner.layer != "server"
    return owner.layer == "handoff" or all(mine)
