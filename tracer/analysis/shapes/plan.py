"""Attribution once per shape: what requests with the same marks in the same order share.

Attribution compares instants and picks among them; it never does sums with them before it
is done. So of two timelines whose marks came in the same order, every segment lies between
the same two marks. A plan is what attribution says of one of them, with places in that
order instead of instants; instants are put in later, for many requests at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tracer.analysis.attribution.blame import Blame
from tracer.analysis.attribution.hops import cut, phases
from tracer.analysis.attribution.replay import Replay
from tracer.analysis.attribution.tiling import tile
from tracer.analysis.attribution.walk import Walk, window_end
from tracer.analysis.attribution.worker import owner_in
from tracer.analysis.statistics.tally import TO_LOOP, TO_THREAD, Site
from tracer.model import timeline as t
from tracer.model.layers import HOP_PHASES, Owner

if TYPE_CHECKING:
    from tracer.analysis.attribution.request import Segment
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.attribution.track import Bridge
    from tracer.model.marks import Mark

    Ints = NDArray[np.int64]

NOBODY: Final = -1
_PHASE: Final = {phase: place for place, phase in enumerate(HOP_PHASES)}


class Numbers:
    """Gives things numbers from 0 on; the same thing has the same number."""

    def __init__(self) -> None:
        """Begin empty."""
        self._numbers: dict[Hashable, int] = {}
        self.things: list[Any] = []

    def __call__(self, thing: Hashable) -> int:
        """Return the number of a thing."""
        number = self._numbers.get(thing)
        if number is None:
            number = self._numbers[thing] = len(self.things)
            self.things.append(thing)
        return number


class InternTable:
    """What all plans name: texts, owners and sites, each by a number of its own."""

    def __init__(self) -> None:
        """Begin with the text that stands for none."""
        self.texts = Numbers()
        self.texts(None)
        self.owners = Numbers()
        self.sites = Numbers()
        self._blockers: dict[int, int] = {}

    def text(self, number: int) -> str | None:
        """Return the text with a number, None for one that nobody has."""
        found: str | None = self.texts.things[number] if number < len(self.texts.things) else None
        return found

    def owner(self, number: int) -> Owner:
        """Return the owner that a text tells of."""
        return owner_in(self.text(number))

    def blocker(self, number: int) -> int:
        """Return the owner's number of a blocker with a text's number."""
        found = self._blockers.get(number)
        if found is None:
            owner = Owner("event_loop", self.text(number))
            found = self._blockers[number] = self.owners(owner)
        return found


class SymbolicTimeline(NamedTuple):
    """One timeline with places instead of instants: what a plan is made from."""

    marks: Sequence[Mark]
    start: int
    finish: int
    view: str
    blocking: bool
    outcome: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Who owns what between which places; arrays of one entry a segment, cut or hop.

    `windows`: so many of the segments lie in the window, the others after it.
    `busy_on`: the thread whose other work takes a segment's time, or nobody.
    """

    low: Ints
    high: Ints
    owner: Ints
    busy_on: Ints
    runs: NDArray[np.bool_]
    windows: int
    end: int
    finish: int
    cut_hop: Ints
    cut_phase: Ints
    cut_low: Ints
    cut_high: Ints
    hop_site: Ints
    hop_flags: NDArray[np.bool_]
    observed: NDArray[np.bool_]
    return_low: Ints
    return_high: Ints
    return_on: Ints
    threads: int
    threads_after: int
    connections: int


class _Marker(Blame):
    """Leaves every stretch that others may have taken whole, and notes on which thread."""

    def __init__(self) -> None:
        super().__init__((), 0, ())

    def split(
        self, start_ns: int, end_ns: int, thread: int | None, otherwise: Segment
    ) -> list[Segment]:
        """Return the stretch whole, with the thread on which others may have taken its time."""
        return [replace(otherwise, start_ns=start_ns, end_ns=end_ns, preempted_on=thread or None)]


class PlanWalk(Walk):
    """Notes which hand-offs were walked: only those have event loop time."""

    def __init__(self, replay: Replay, text: Callable[[int], str | None]) -> None:
        super().__init__(replay, text, _Marker())
        self.walked: set[int] = set()

    def _hand_off(self, bridge: Bridge, depth: int) -> list[Segment]:
        self.walked.add(id(bridge))
        return super()._hand_off(bridge, depth)


def plan(story: SymbolicTimeline, book: InternTable) -> Plan:
    """Attribute a story; all its places are counted from 1."""
    replay = Replay(story.marks, book.owner, story.view, blocking=story.blocking)
    end = window_end(replay, story.start, story.finish, story.outcome)
    walk = PlanWalk(replay, book.text)
    segments = walk.main(story.start)
    finish = max(replay.root.end_ns or end, end)
    window = tile(segments, story.start, end)
    every = (*window, *tile(segments, end, finish))
    walk.side_tracks(finish)
    bridges = sorted(replay.bridges, key=lambda bridge: bridge.start_ns)
    threads = replay.instants.get(t.THREAD, [])
    return Plan(
        low=_places(one.start_ns for one in every),
        high=_places(one.end_ns for one in every),
        owner=_ints(
            book.owners(Owner(one.layer, one.detail, one.part, one.phase)) for one in every
        ),
        busy_on=_ints(thread_of(one) for one in every),
        runs=np.array([one.state == "run" for one in every], bool),
        windows=len(window),
        end=end - 1,
        finish=finish - 1,
        threads=len(threads),
        threads_after=sum(instant >= end for instant in threads),
        connections=len(replay.instants.get(t.CONNECT, [])),
        **_hops(bridges, walk, book, end),
    )


def _hops(bridges: Sequence[Bridge], walk: PlanWalk, book: InternTable, end: int) -> dict[str, Any]:
    cuts = [(number, one) for number, bridge in enumerate(bridges) for one in cut(bridge)]
    returns = [return_of(bridge, walk) for bridge in bridges]
    seen = [phases(bridge, cut(bridge)) for bridge in bridges]
    after = [bridge.start_ns >= end for bridge in bridges]
    return {
        "cut_hop": _ints(number for number, _ in cuts),
        "cut_phase": _ints(_PHASE[one.phase] for _, one in cuts),
        "cut_low": _places(one.start_ns for _, one in cuts),
        "cut_high": _places(one.end_ns for _, one in cuts),
        "hop_site": _ints(
            book.sites(Site(walk.site(one), TO_LOOP if one.to_loop else TO_THREAD, late))
            for one, late in zip(bridges, after, strict=True)
        ),
        "hop_flags": np.array(
            [(one.thread_started, id(one) not in walk.main_bridges) for one in bridges], bool
        ).reshape(-1, 2),
        "observed": np.array(
            [[sums[phase] is not None for phase in HOP_PHASES] for sums in seen], bool
        ).reshape(-1, len(HOP_PHASES)),
        "return_low": _places(low for low, _, _ in returns),
        "return_high": _places(high for _, high, _ in returns),
        "return_on": _ints(thread for _, _, thread in returns),
    }


def return_of(bridge: Bridge, walk: PlanWalk) -> tuple[int, int, int]:
    """Return the stretch in which the loop may run others instead of this hand-off's end."""
    loop = bridge.run if bridge.to_loop else bridge.track
    phase = "wake" if bridge.to_loop else "return"
    if loop is not None and id(bridge) in walk.walked:
        for one in cut(bridge):
            if one.phase == phase:
                return one.start_ns, one.end_ns, loop.thread or NOBODY
    return 1, 1, NOBODY


def thread_of(segment: Segment) -> int:
    """Return the thread whose other work may have taken this segment's time, or nobody."""
    return NOBODY if segment.preempted_on is None else segment.preempted_on


def _ints(numbers: Any) -> Ints:
    return np.fromiter(numbers, np.int64)


def _places(places: Any) -> Ints:
    return _ints(place - 1 for place in places)
