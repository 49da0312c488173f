"""The flame of one request: its segments, and below each the functions that ran in it.

What a segment says is exact, so the layers of a flame sum to those of the request. The
functions below are what the stacks of that thread say of that interval.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from tracer.model.stackframes import EXACT, NO_NODE, SAMPLED, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.attribution.request import Segment
    from tracer.model.stackframes import Stacks, Stretch

Kind = Literal["layer", "owner", "function", "wait", "gap"]

THIN: Final = 50
"""A request of fewer sampling intervals than this is drawn from many of its route."""

GAP: Final = 20
"""So many intervals without a call or a return are said to be so."""

_STRONG: Final = (
    "django.core.handlers",
    "django.core.servers",
    "django.utils.deprecation",
    "asgiref.sync",
    "gunicorn",
    "socketserver",
    "uvicorn",
    "wsgiref",
)
_LEADING: Final = (
    "_contextvars", "_thread", "asgiref", "asyncio", "concurrent", "contextlib",
    "contextvars", "h11", "httptools", "runpy", "select", "selectors", "threading", "uvloop",
)  # fmt: skip
OURS, STRONG, LEADING = "ours", "strong", "leading"
_PLUMBING: Final = ((OURS, ("tracer",)), (STRONG, _STRONG), (LEADING, _LEADING))
_AWAITING: Final = frozenset({"handler", "middleware", "view"})
_WAIT_REACH_NS: Final = 1_000_000
_WHAT: Final = {"body": "for the client's bytes", "drain": "for the client to read"}


class Step(NamedTuple):
    """One level of a flame. `where` is a function's file and line, else empty."""

    name: str
    layer: str
    kind: Kind
    where: str = ""


Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """`[start_ns, end_ns)` belongs to a path, from the layer down; `thread` is null in a wait."""

    start_ns: int
    end_ns: int
    thread: int | None
    path: Path

    @property
    def duration_ns(self) -> int:
        """Length in nanoseconds."""
        return self.end_ns - self.start_ns


def pieces_of(segments: Sequence[Segment], stacks: Stacks | None) -> tuple[Piece, ...]:
    """Return the pieces of some segments, in order; they tile what the segments tile."""
    functions = Functions(stacks)
    found: list[Piece] = []
    for place, segment in enumerate(segments):
        owner = owner_path(segment)
        if segment.state == "wait":
            following = segments[place + 1] if place + 1 < len(segments) else None
            known = found and segment.layer in _AWAITING
            above = functions.before(found[-1].thread, segment) if known else ()
            path = (*owner, *above, _wait(segment, following))
            _append(found, Piece(segment.start_ns, segment.end_ns, None, path))
            continue
        for start_ns, end_ns, below in functions.within(segment):
            _append(found, Piece(start_ns, end_ns, segment.thread, (*owner, *below)))
    return tuple(found)


def is_thin(duration_ns: int, stacks: Stacks) -> bool:
    """Say whether a request was too short for its samples to make a picture by themselves."""
    return stacks.source == SAMPLED and duration_ns < THIN * stacks.interval_ns


def owner_path(segment: Segment) -> Path:
    """Return the top levels: layer, detail, part, phase; what a segment lacks isn't there."""
    words = [word for word in (segment.detail, segment.part, segment.phase) if word]
    rest = tuple(Step(word, segment.layer, "owner") for word in words)
    return (Step(segment.layer, segment.layer, "layer"), *rest)


def _wait(segment: Segment, following: Segment | None) -> Step:
    timed = following is not None and following.detail == "timer granularity"
    what = "for a timer" if timed else _WHAT.get(segment.detail or segment.part or "", "")
    if segment.layer == "handoff" and segment.phase:
        what = f"in {segment.phase}"
    return Step(f"waiting {what}".rstrip(), segment.layer, "wait")


def _append(found: list[Piece], piece: Piece) -> None:
    if piece.start_ns >= piece.end_ns:
        return
    last = found[-1] if found else None
    if (
        last is not None
        and last.end_ns == piece.start_ns
        and (last.thread, last.path) == (piece.thread, piece.path)
    ):
        found[-1] = Piece(last.start_ns, piece.end_ns, piece.thread, piece.path)
    else:
        found.append(piece)


class Functions:
    """The functions of a request's stacks, by thread and instant, without the plumbing above."""

    def __init__(self, stacks: Stacks | None) -> None:
        """Prepare to be asked; of no stacks there are no functions."""
        self._stacks = stacks
        self._paths: dict[tuple[int, str], Path] = {}
        self._levels: dict[int, Level] = {}
        self._steps: dict[tuple[int, str], Step] = {}
        self._threads: dict[int, list[Stretch]] = {}
        for stretch in stacks.stretches if stacks is not None else ():
            self._threads.setdefault(stretch.thread, []).append(stretch)
        self._ends = {
            thread: [one.end_ns for one in several] for thread, several in self._threads.items()
        }

    def within(self, segment: Segment) -> list[tuple[int, int, Path]]:
        """Return who ran when in a segment, tiling it; an empty path where that isn't known."""
        found: list[tuple[int, int, Path]] = []
        at = segment.start_ns
        thread = segment.thread or 0
        several = self._threads.get(thread, [])
        for stretch in several[bisect_right(self._ends.get(thread, []), at) :]:
            if stretch.start_ns >= segment.end_ns:
                break
            start_ns = max(stretch.start_ns, at)
            end_ns = min(stretch.end_ns, segment.end_ns)
            if end_ns <= start_ns:
                continue
            if start_ns > at:
                found.append((at, start_ns, ()))
            found.append((start_ns, end_ns, self._of(stretch, segment, found)))
            at = end_ns
        if at < segment.end_ns:
            found.append((at, segment.end_ns, ()))
        return found

    def _of(
        self, stretch: Stretch, segment: Segment, found: Sequence[tuple[int, int, Path]]
    ) -> Path:
        """A sample says what ran when it was taken: after the segment it says nothing of it."""
        stacks = self._stacks
        if stacks is None or stacks.source != SAMPLED or stretch.end_ns <= segment.end_ns:
            return self._path_of(stretch, segment.layer)
        return found[-1][2] if found else ()

    def before(self, thread: int | None, segment: Segment) -> Path:
        """Return which functions led to a wait: exact calls say it, samples don't."""
        if self._stacks is None or self._stacks.source != EXACT or thread is None:
            return ()
        several = self._threads.get(thread, [])
        place = bisect_right(self._ends.get(thread, []), segment.start_ns)
        for stretch in reversed(several[max(place - 8, 0) : place]):
            if segment.start_ns - stretch.end_ns > _WAIT_REACH_NS:
                break
            path = self._path_of(stretch, segment.layer)
            if path:
                return path
        return ()

    def _path_of(self, stretch: Stretch, layer: str) -> Path:
        path = self._path(stretch.node, layer)
        stacks = self._stacks
        if stacks is None or stacks.source != SAMPLED or not path or not path[-1].where:
            return path
        if stretch.end_ns - stretch.start_ns < GAP * stacks.interval_ns:
            return path
        return (*path, Step("no call in it", layer, "gap"))

    def _path(self, node: int, layer: str) -> Path:
        """Return the functions that lead to a node; made once, for stretches are many."""
        found = self._paths.get((node, layer))
        if found is None:
            found = self._paths[node, layer] = self._trimmed(node, layer)
        return found

    def _trimmed(self, node: int, layer: str) -> Path:
        """Return what is below the last of the plumbing that leads to application code."""
        stacks = self._stacks
        chain: list[tuple[int, Level]] = []
        while stacks is not None and node != NO_NODE:
            node, name = stacks.nodes[node]
            level = self._levels.get(name)
            if level is None:
                level = self._levels[name] = level_of(stacks.names[name])
            if level.whose != OURS:
                chain.append((name, level))
        chain.reverse()
        begin = 0
        for place, (_, level) in enumerate(chain):
            if level.whose == STRONG:
                begin = place + 1
        while begin < len(chain) and chain[begin][1].whose is not None:
            begin += 1
        return tuple(self._step(name, layer) for name, _ in chain[begin:])

    def _step(self, name: int, layer: str) -> Step:
        found = self._steps.get((name, layer))
        if found is None:
            found = self._levels[name].step._replace(layer=layer)
            self._steps[name, layer] = found
        return found


class Level(NamedTuple):
    """A function as a level of no layer yet; `whose` plumbing it is, None for anybody else's."""

    step: Step
    whose: str | None


def level_of(name: str) -> Level:
    """Return what a function's name says: module, qualified name, file and line."""
    module, qualified, file, line = (name.split(SEPARATOR) + [""] * 4)[:4]
    where = f"{file}:{line}" if file else ""
    whose = next((one for one, packages in _PLUMBING if _is_of(module, packages)), None)
    return Level(
        Step(f"{module}:{qualified}" if module else qualified, "", "function", where), whose
    )


def _is_of(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)
