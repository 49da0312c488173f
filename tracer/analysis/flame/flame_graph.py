"""What a flame report draws, and what it must say about where that came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracer.analysis.flame.pieces import is_thin, pieces_of
from tracer.analysis.flame.tree import add_up, together
from tracer.model.stackframes import SAMPLED, SOURCES
from tracer.model.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.flame.pieces import Piece
    from tracer.analysis.flame.tree import StackTotals
    from tracer.model.stackframes import Stacks

RequestStacks = tuple["Request", "Stacks"]
_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FlameGraph:
    """A flame: of one `request` in time, or of many by stack, or the difference of two.

    `pieces` tile the request's window; `after` and `overlapped` are beside it. `against`
    is what `totals` is compared with. `notes` are lines that belong under the picture.
    `parts` are the requests that `totals` is the sum of, each with its own.
    """

    title: str
    totals: StackTotals
    notes: tuple[str, ...]
    request: Request | None = None
    pieces: tuple[Piece, ...] = ()
    after: tuple[Piece, ...] = ()
    overlapped: tuple[Piece, ...] = ()
    against: StackTotals | None = None
    names: tuple[str, str] = ("", "")
    sources: frozenset[int] = frozenset()
    parts: tuple[tuple[Request, StackTotals], ...] = ()


def of_request(request: Request, stacks: Stacks) -> FlameGraph:
    """Draw one request in time."""
    pieces = pieces_of(request.segments, stacks)
    title = f"{request.method} {request.route or request.target or ''} {request.request_id}"
    notes = [_source_note([stacks]), _cost_note([stacks])]
    if is_thin(request.duration_ns, stacks):
        intervals = request.duration_ns // max(stacks.interval_ns, 1)
        notes.append(
            f"it lasted only {intervals} sampling intervals: below the layers this is a rough "
            "picture; several requests of its route, added up, make a better one"
        )
    totals = add_up([pieces])
    return FlameGraph(
        title=title,
        totals=totals,
        parts=((request, totals),),
        notes=(*notes, *_truncated_note([stacks])),
        request=request,
        sources=frozenset({stacks.source}),
        pieces=pieces,
        after=pieces_of(request.after_response, stacks),
        overlapped=pieces_of(request.overlapped, stacks),
    )


def of_requests(sampled: Sequence[RequestStacks], what: str) -> FlameGraph:
    """Draw many requests by stack; nanoseconds are added up."""
    every = [stacks for _, stacks in sampled]
    parts = tuple(
        (request, add_up([pieces_of(request.segments, stacks)])) for request, stacks in sampled
    )
    return FlameGraph(
        title=f"{what}, {plural(len(sampled), 'request')}",
        totals=together([totals for _, totals in parts]),
        parts=parts,
        sources=frozenset(one.source for one in every),
        notes=(
            f"added up over {plural(len(sampled), 'request')} with stacks",
            _source_note(every),
            _cost_note(every),
            *_truncated_note(every),
        ),
    )


def difference(a: FlameGraph, b: FlameGraph, names: tuple[str, str]) -> FlameGraph:
    """Draw what of a request takes longer or shorter in `b` than in `a`."""
    return FlameGraph(
        title=f"{names[1]} against {names[0]}",
        totals=a.totals,
        against=b.totals,
        names=names,
        notes=(
            *_unlike_note(a, b),
            *(f"{names[0]}: {note}" for note in a.notes),
            *(f"{names[1]}: {note}" for note in b.notes),
        ),
    )


def _unlike_note(a: FlameGraph, b: FlameGraph) -> tuple[str, ...]:
    if a.sources == b.sources:
        return ()
    return ("the two were taken in different ways: only their layers and owners compare",)


def _source_note(every: Sequence[Stacks]) -> str:
    kinds = sorted({one.source for one in every})
    said = []
    for kind in kinds:
        several = [one for one in every if one.source == kind]
        if kind == SAMPLED:
            intervals = sorted({one.interval_ns for one in several})
            said.append(f"{SOURCES[kind]} every {_between(intervals, 1000, 'µs')}")
        else:
            thresholds = sorted({one.threshold_ns for one in several})
            shorter = _between(thresholds, 1000, "µs")
            said.append(f"{SOURCES[kind]} calls; one shorter than {shorter} is its caller's")
    return "; ".join(said)


def _cost_note(every: Sequence[Stacks]) -> str:
    armed_ns = sum(one.end_ns - one.start_ns for one in every)
    cost_ns = sum(one.cost_ns for one in every)
    events = sum(one.events for one in every)
    kinds = {one.source for one in every}
    what = "calls and returns" if kinds != {SAMPLED} else "samples"
    tail = "" if SAMPLED not in kinds else "; calls between samples cost some 0.1 µs each on top"
    return (
        f"armed for {armed_ns / _MS:.1f} ms, in which {events} {what} cost {cost_ns / _MS:.1f} ms "
        f"that are in this picture{tail}"
    )


def _truncated_note(every: Sequence[Stacks]) -> tuple[str, ...]:
    count = sum(one.truncated for one in every)
    if not count:
        return ()
    whose = plural(count, "request")
    return (f"the stacks of {whose} were cut off: too many, too long, or too dear",)


def _between(numbers: Sequence[int], unit: int, name: str) -> str:
    shown = [f"{number / unit:g}" for number in (numbers[0], numbers[-1])]
    return f"{shown[0]} {name}" if shown[0] == shown[1] else f"{shown[0]} to {shown[1]} {name}"
