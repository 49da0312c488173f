"""Attribution once per shape: what requests with the same marks in the same order share.

Attribution compares instants and picks among them; it never does sums with them before it
is done. So of two timelines whose marks came in the same order, every segment lies between
the same two marks. A plan is what attribution says of one of them, with places in that
order instead of instants; instants are put in later, for many requests at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.attribution.attribute import Attribution
from tracer.analysis.attribution.blame import Blame
from tracer.analysis.statistics.tally import site_of
from tracer.model.layers import HOP_PHASES, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.attribution.attribute import RequestMarks
    from tracer.analysis.attribution.request import Counts, Segment
    from tracer.analysis.shapes.intern_table import InternTable

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_PHASES: Final = len(HOP_PHASES)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Who owns what between which places; arrays of an entry a segment, hand-off or phase.

    `window`: so many of the segments lie in the window, the others after it. `phase_cell`
    is a hand-off's number times the number of phases, and the phase's. In `waits` others may
    have had a thread: low, high, thread, and what waited: a segment by its place, a
    hand-off by its number, counted down from -1.
    """

    low: Ints
    high: Ints
    owner: Ints
    runs: Flags
    window: int
    queried: bool
    end: int
    finish: int
    site: Ints
    flags: Flags
    observed: Flags
    phase_cell: Ints
    phase_low: Ints
    phase_high: Ints
    waits: Ints
    counts: Counts


class _Preemptible(Blame):
    """Leaves every stretch that others may have taken whole, and notes on which thread."""

    def __init__(self) -> None:
        super().__init__((), 0, ())

    def split(
        self, start_ns: int, end_ns: int, thread: int | None, otherwise: Segment
    ) -> list[Segment]:
        return [replace(otherwise, start_ns=start_ns, end_ns=end_ns, preempted_on=thread or None)]


def attribute_shape(request: RequestMarks, names: InternTable) -> Attribution:
    """Attribute a request of a shape; all its places are counted from 1."""
    return Attribution(request, names, _Preemptible())


def make_plan(found: Attribution, names: InternTable) -> Plan:
    """Return what tallies and spans read of a shape's attribution, in arrays."""
    segments = (*found.window, *found.after_response)
    handoffs = found.handoffs
    phases = [
        (number, one)
        for number, marks in enumerate(found.replay.handoffs)
        for one in found.walk.phases(marks)
    ]
    return Plan(
        low=places(one.start_ns for one in segments),
        high=places(one.end_ns for one in segments),
        owner=ints(names.owners(owner_of(one)) for one in segments),
        runs=np.array([one.state == "run" for one in segments], bool),
        window=len(found.window),
        queried=any(one.part == "query" for one in found.window),
        end=found.end_ns - 1,
        finish=found.finish_ns - 1,
        site=ints(names.sites(site_of(one)) for one in handoffs),
        flags=np.array([(one.thread_started, one.overlapped) for one in handoffs], bool).reshape(
            -1, 2
        ),
        observed=np.array(
            [[ns is not None for ns in one.phases.values()] for one in handoffs], bool
        ).reshape(-1, _PHASES),
        phase_cell=ints(
            number * _PHASES + HOP_PHASES.index(one.phase or "") for number, one in phases
        ),
        phase_low=places(one.start_ns for _, one in phases),
        phase_high=places(one.end_ns for _, one in phases),
        waits=_waits(segments, found),
        counts=found.counts,
    )


def _waits(segments: Sequence[Segment], found: Attribution) -> Ints:
    of_handoffs = [
        waiting_of(part, -1 - number)
        for number, marks in enumerate(found.replay.handoffs)
        for part in found.walk.loop_wait(marks)
    ]
    of_segments = [waiting_of(one, place) for place, one in enumerate(segments)]
    return waits_of([*of_segments, *of_handoffs])


def waiting_of(segment: Segment, place: int) -> tuple[int, int, int, int] | None:
    """Return a segment as a column of `Plan.waits`, None if nobody could have had a thread."""
    if segment.preempted_on is None:
        return None
    return segment.start_ns - 1, segment.end_ns - 1, segment.preempted_on, place


def waits_of(several: Iterable[tuple[int, int, int, int] | None]) -> Ints:
    """Return columns of `Plan.waits`."""
    return ints([one for one in several if one is not None]).reshape(-1, 4).T


def owner_of(segment: Segment) -> Owner:
    """Return a segment's owner."""
    return Owner(segment.layer, segment.detail, segment.part, segment.phase)


def ints(numbers: Iterable[Any]) -> Ints:
    """Return whole numbers as an array."""
    return np.array(tuple(numbers), np.int64)


def places(counted_from_1: Iterable[int]) -> Ints:
    """Return places counted from 1 as an array of those counted from 0."""
    return ints(place - 1 for place in counted_from_1)
