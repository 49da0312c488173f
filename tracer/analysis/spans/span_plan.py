"""The spans of a trace before there are instants in them: what is said, and of which segments.

Segments of the window, of what came after the response and of what ran beside it are
counted through: figures are sums of segments' durations, and a span reaches from the
beginning of one to the end of another. So one plan serves all requests of a shape.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.attribution.blame import like
from tracer.analysis.spans.branch import IDLE
from tracer.analysis.spans.span_attributes import (
    attributes_of,
    code_of,
    handoff_attributes,
    name_of,
)
from tracer.analysis.spans.span_selection import longest, select_spans
from tracer.analysis.spans.tree import build_span_tree
from tracer.model.span_ids import mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.attribution.request import Handoff, Segment
    from tracer.analysis.spans.branch import Branch
    from tracer.analysis.spans.span_attributes import Value
    from tracer.analysis.spans.span_levels import Level
    from tracer.analysis.spans.span_selection import Kept

SELF: Final = "tracer.self_ns"
NO_PARENT: Final = -1


class Figure(NamedTuple):
    """An attribute that is the sum of some segments' durations, in nanoseconds."""

    name: str
    segments: tuple[int, ...]


class Event(NamedTuple):
    """Something that begins where a segment does."""

    name: str
    segment: int


@dataclass(frozen=True, slots=True)
class SpanPlan:
    """One span: `first` and `last` are the segments it reaches from and to.

    `hop` is the hand-off's place among the request's. `mask` gives its id, `parent` is the
    place of its parent in the plan. `code` is the name under which its code's location is
    looked up, `thread` the segment whose thread began it, if any ran.
    """

    name: str
    parent: int
    mask: int
    first: int
    last: int
    attributes: tuple[tuple[str, Value], ...]
    figures: tuple[Figure, ...]
    events: tuple[Event, ...] = ()
    hop: int | None = None
    code: str | None = None
    thread: int | None = None


@dataclass(slots=True)
class Sections:
    """What a request's spans are made from: three kinds of segments, and its hand-offs.

    Only the order of their instants matters here.
    """

    window: Sequence[Segment]
    after: Sequence[Segment]
    overlapped: Sequence[Segment]
    handoffs: Sequence[Handoff]
    end_ns: int


@dataclass(slots=True)
class TracePlan:
    """All spans below the root, parents first; `segments` are what they count.

    `thread` is the segment whose thread began the root.
    """

    segments: list[Segment]
    window: int
    after: int
    own: tuple[Figure, ...] = ()
    spans: list[SpanPlan] = field(default_factory=list)
    thread: int | None = None


def plan_trace(sections: Sections, level: Level) -> TracePlan:
    """Return the spans of a request at a level of detail; the root isn't among them."""
    window, after = list(sections.window), list(sections.after)
    runs = _runs(sections.overlapped, sections.end_ns) if level != "layers" else []
    every = [*window, *after, *chain.from_iterable(runs)]
    made = TracePlan(every, len(window), len(after))
    made.thread = _began_on(window, 0, len(window))
    maker = _Maker(made, level, sections.handoffs)
    main = [one for one in sections.handoffs if not one.overlapped]
    inside = [one for one in main if not one.after_response]
    tree = maker.select(window, inside, 0, whole=False)
    made.own = maker.figures(tree, 0, None)
    maker.below(tree, NO_PARENT, 0)
    offset = len(window)
    if after:
        late = [one for one in main if one.end_ns > sections.end_ns]
        maker.add(maker.select(after, late, offset), offset, "after")
    overlapped = [one for one in sections.handoffs if one.overlapped]
    offset += len(after)
    for run in runs:
        begun = {(one.detail, one.start_ns) for one in run if one.layer == "handoff"}
        mine = [one for one in overlapped if (one.site, one.start_ns) in begun]
        maker.add(maker.select(run, mine, offset), offset, "beside")
        offset += len(run)
    return made


def _blockers(segments: Sequence[Segment], level: Level) -> list[int]:
    """Return the segments in which somebody else had the loop that get a span of their own."""
    every = [
        number
        for number, one in enumerate(segments)
        if one.layer == "event_loop" and one.detail not in IDLE
    ]
    return [every[place] for place in longest([segments[one].duration_ns for one in every], level)]


class _Maker:
    """Puts spans into a plan, parents first."""

    def __init__(self, plan: TracePlan, level: Level, handoffs: Sequence[Handoff]) -> None:
        self._plan, self._level = plan, level
        self._numbers = {id(one): number for number, one in enumerate(handoffs)}
        self._blockers = _blockers(plan.segments, level)
        self._seen: Counter[tuple[str, ...]] = Counter()

    def select(
        self,
        segments: Sequence[Segment],
        handoffs: Sequence[Handoff],
        offset: int,
        *,
        whole: bool = True,
    ) -> Kept:
        """Return the spans of segments that are the plan's from `offset` on."""
        blockers = {number - offset for number in self._blockers}
        return select_spans(build_span_tree(segments, handoffs), self._level, blockers, whole=whole)

    def add(self, kept: Kept, offset: int, section: str) -> None:
        """Add a tree that hangs from the root."""
        self._span(kept, NO_PARENT, offset, section)

    def below(self, kept: Kept, parent: int, offset: int, section: str = "") -> None:
        """Add what lies within."""
        for one in kept.within:
            self._span(one, parent, offset, section)

    def figures(self, kept: Kept, offset: int, layer: str | None) -> tuple[Figure, ...]:
        """Return its own time, and whose it was where that isn't plain."""
        every = sorted(one + offset for those in kept.own.values() for one in those)
        found = [Figure(SELF, tuple(every))]
        if set(kept.own) - {layer}:
            found += [
                Figure(f"tracer.self.{one}.duration_ns", tuple(n + offset for n in those))
                for one, those in kept.own.items()
            ]
        return tuple(found)

    def _span(self, kept: Kept, parent: int, offset: int, section: str) -> None:
        branch, place = kept.branch, len(self._plan.spans)
        first, last = branch.first + offset, branch.last + offset
        attributes = attributes_of(branch, section)
        if branch.handoff is not None:
            attributes += handoff_attributes(branch.handoff)
        if kept.hops:
            attributes += (("tracer.handoffs", kept.hops),)
        self._plan.spans.append(
            SpanPlan(
                name_of(branch, section),
                parent,
                self._mask(branch, section),
                first,
                last - 1,
                attributes,
                self.figures(kept, offset, None if branch.kind == "whole" else branch.owner.layer),
                tuple(Event(one.owner.phase or "", one.first + offset) for one in kept.phases),
                None if branch.handoff is None else self._numbers[id(branch.handoff)],
                code_of(branch),
                _began_on(self._plan.segments, first, last),
            )
        )
        self.below(kept, place, offset, section)

    def _mask(self, branch: Branch, section: str) -> int:
        owner = branch.owner
        kind = section if branch.kind == "whole" else branch.kind
        more = "\x1f".join((owner.part or "", owner.phase or "")).strip("\x1f")
        key = (kind, owner.layer, owner.detail or "", more)
        again = self._seen[key]
        self._seen[key] += 1
        return mask(kind, owner.layer, owner.detail, more, again)


def _began_on(segments: Sequence[Segment], first: int, last: int) -> int | None:
    """Return the first of some segments that a thread is known to have run."""
    return next((number for number in range(first, last) if segments[number].thread), None)


def _runs(segments: Sequence[Segment], end_ns: int) -> list[list[Segment]]:
    """Return stretches without a gap, none on both sides of the window's end."""
    runs: list[list[Segment]] = []
    for whole in segments:
        pieces = [whole]
        if whole.start_ns < end_ns < whole.end_ns:
            pieces = [
                like(whole, whole.start_ns, end_ns),
                like(whole, end_ns, whole.end_ns),
            ]
        for one in pieces:
            last = runs[-1][-1] if runs else None
            if last is not None and last.end_ns == one.start_ns != end_ns:
                runs[-1].append(one)
            else:
                runs.append([one])
    return [run for run in runs if not all(map(_is_elsewhere, run))]


def _is_elsewhere(segment: Segment) -> bool:
    """Say whether this is but a garbage collection in a thread that ran nothing of the request."""
    return segment.layer == "unattributed" and segment.part == "gc"
