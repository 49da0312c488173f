"""Time by stack: of one request or many, and the difference of two such pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tracer.analysis.flame.pieces import Path, Piece, Step


@dataclass(frozen=True, slots=True)
class StackTotals:
    """How many nanoseconds each path had, of so many requests together."""

    requests: int
    by_path: dict[Path, int]

    @property
    def total_ns(self) -> int:
        """All of it."""
        return sum(self.by_path.values())


@dataclass(slots=True)
class Branch:
    """One level with what is below it; with `b_ns` where two pictures are compared.

    Both are nanoseconds a request, of the level and all below.
    """

    step: Step | None
    a_ns: float = 0.0
    b_ns: float = 0.0
    below: dict[Step, Branch] = field(default_factory=dict)


def add_up(requests: Iterable[Sequence[Piece]]) -> StackTotals:
    """Add up the pieces of requests by path."""
    by_path: dict[Path, int] = {}
    count = 0
    for pieces in requests:
        count += 1
        for piece in pieces:
            by_path[piece.path] = by_path.get(piece.path, 0) + piece.duration_ns
    return StackTotals(count, by_path)


def together(several: Iterable[StackTotals]) -> StackTotals:
    """Add up what was added up before."""
    by_path: dict[Path, int] = {}
    count = 0
    for one in several:
        count += one.requests
        for path, ns in one.by_path.items():
            by_path[path] = by_path.get(path, 0) + ns
    return StackTotals(count, by_path)


def tree(a: StackTotals, b: StackTotals | None = None) -> Branch:
    """Return the tree of a picture, or of two, as nanoseconds a request."""
    root = Branch(None)
    for path, ns in a.by_path.items():
        for branch in _along(root, path):
            branch.a_ns += ns / max(a.requests, 1)
    for path, ns in b.by_path.items() if b is not None else ():
        for branch in _along(root, path):
            branch.b_ns += ns / max(b.requests, 1) if b is not None else 0
    return root


def _along(root: Branch, path: Path) -> Iterator[Branch]:
    yield root
    at = root
    for step in path:
        below = at.below.get(step)
        if below is None:
            below = at.below[step] = Branch(step)
        at = below
        yield at


Event = tuple[Literal["O", "C"], int, "Step"]


def events(pieces: Sequence[Piece]) -> Iterator[Event]:
    """Give the instants at which levels open and close, properly nested, in order of time."""
    open_steps: Path = ()
    last_ns = 0
    for piece in pieces:
        kept = 0
        if piece.start_ns == last_ns:
            while kept < min(len(open_steps), len(piece.path)):
                if open_steps[kept] != piece.path[kept]:
                    break
                kept += 1
        for step in reversed(open_steps[kept:]):
            yield "C", last_ns, step
        for step in piece.path[kept:]:
            yield "O", piece.start_ns, step
        open_steps, last_ns = piece.path, piece.end_ns
    for step in reversed(open_steps):
        yield "C", last_ns, step


@dataclass(frozen=True, slots=True)
class Span:
    """A level while it was open, `depth` levels below the top."""

    start_ns: int
    end_ns: int
    depth: int
    step: Step


def spans(pieces: Sequence[Piece]) -> list[Span]:
    """Return the levels of a flame over time, outer ones before inner ones."""
    begun: list[tuple[int, int, Step]] = []
    found: list[Span] = []
    for kind, instant, step in events(pieces):
        if kind == "O":
            begun.append((instant, len(begun), step))
        else:
            start_ns, depth, _ = begun.pop()
            found.append(Span(start_ns, instant, depth, step))
    found.sort(key=lambda span: (span.start_ns, span.depth))
    return found
