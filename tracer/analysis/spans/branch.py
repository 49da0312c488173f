"""Branches of the tree that a request's segments make, and its outermost leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal

from tracer.analysis.attribution.blame import TURN
from tracer.model.layers import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracer.analysis.attribution.request import Handoff, Segment

Kind = Literal[
    "whole", "handler", "core", "middleware", "phase", "view", "part", "function", "hop",
    "hop phase", "run", "loose",
]  # fmt: skip
"""Of a branch. `core` is Django's innermost link, `phase` a middleware's method, `function`
one of Django's own, `run` what whoever asked for a hand-off ran in it, `loose` what is
nobody's within the application: server, event loop, unattributed."""

IDLE: Final = frozenset({TURN, "timer granularity", None})
"""Details of event loop time with nobody to blame."""


@dataclass(slots=True, eq=False)
class Branch:
    """What ran from segment `first` to before `last`; `own` are those of no branch within."""

    kind: Kind
    owner: Owner
    first: int
    last: int
    handoff: Handoff | None = None
    own: list[int] = field(default_factory=list)
    within: list[Branch] = field(default_factory=list)

    def take(self, number: int) -> None:
        """A segment is its own."""
        self.own.append(number)
        self.last = number + 1

    @property
    def key(self) -> tuple[str, str | None]:
        """Whose it is."""
        return self.owner.layer, self.owner.detail


def leaves(segments: Sequence[Segment], numbers: Sequence[int]) -> Iterator[Branch]:
    """Give branches for segments that are nobody's within the application, in order.

    Who had the event loop lies in the loop's own time, where there is some next to it.
    """
    for (layer, _), run in groupby(
        enumerate(numbers), lambda pair: (segments[pair[1]].layer, pair[1] - pair[0])
    ):
        several = [number for _, number in run]
        if layer == "event_loop":
            yield from _event_loop(segments, several)
        else:
            yield from _side_by_side(segments, several)


def _side_by_side(segments: Sequence[Segment], numbers: Sequence[int]) -> Iterator[Branch]:
    for owner, same in groupby(numbers, lambda number: _owner(segments[number], gc=False)):
        every = list(same)
        made = Branch("loose", owner, every[0], every[-1] + 1)
        for number in every:
            whole = _owner(segments[number])
            if whole == owner:
                made.own.append(number)
            else:
                made.within.append(Branch("loose", whole, number, number + 1, own=[number]))
        yield made


def _event_loop(segments: Sequence[Segment], numbers: Sequence[int]) -> Iterator[Branch]:
    idle = [number for number in numbers if segments[number].detail in IDLE]
    if not idle:
        yield from _side_by_side(segments, numbers)
        return
    around = Branch("loose", _owner(segments[idle[0]]), numbers[0], numbers[0])
    for number in numbers:
        owner = _owner(segments[number])
        if owner.detail not in IDLE:
            around.within.append(Branch("loose", owner, number, number + 1, own=[number]))
            around.last = number + 1
            continue
        if owner != around.owner:
            yield around
            around = Branch("loose", owner, number, number)
        around.take(number)
    yield around


def _owner(segment: Segment, *, gc: bool = True) -> Owner:
    part = segment.part if gc or segment.part != "gc" else None
    return Owner(segment.layer, segment.detail, part)
