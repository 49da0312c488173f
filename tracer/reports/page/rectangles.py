"""A flame as rectangles, as the page's scripts draw it.

A rectangle is `[x, width, depth, step, a_ns, b_ns]`; `x` and `width` are nanoseconds, `step` is
a place in a table of `[name, layer, kind, where]`. The last two are left out where they are
the width and nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tracer.analysis.flame.tree import spans, tree
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.flame.flame_graph import FlameGraph
    from tracer.analysis.flame.pieces import Piece, Step
    from tracer.analysis.flame.tree import Branch, StackTotals
    from tracer.reports.page.compact import Names

MOST: Final = 50_000
"""So many rectangles of a view are drawn, unless fewer are wanted."""


class Rectangle(NamedTuple):
    """One level for as long as it lasted, or for its share of a sum."""

    x: int
    width: int
    depth: int
    step: Step
    a_ns: int
    b_ns: int = 0

    def data(self, steps: Names) -> list[int]:
        """Return it as a row of integers."""
        row = [self.x, self.width, self.depth, steps.place(self.step)]
        return row if (self.a_ns, self.b_ns) == (self.width, 0) else [*row, self.a_ns, self.b_ns]


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """One view of a picture: over `time`, by `stack`, or the `difference` of two by stack."""

    name: str
    kind: Literal["time", "stack", "difference"]
    rectangles: Sequence[Rectangle]

    def data(self, steps: Names, most: int = MOST) -> dict[str, Any]:
        """Return it for the scripts, with the largest rectangles; their steps go into `steps`.

        `layers` are the nanoseconds of each, whether drawn or not: they sum to all there is.
        """
        layers: dict[str, int] = {}
        for one in self.rectangles:
            if not one.depth:
                layers[one.step.layer] = layers.get(one.step.layer, 0) + one.a_ns
        largest = sorted(self.rectangles, key=lambda one: (one.depth > 0, -one.width))[:most]
        kept = sorted(largest, key=lambda one: (one.x, one.depth))
        return {
            "name": self.name,
            "kind": self.kind,
            "layers": layers,
            "hidden": len(self.rectangles) - len(kept),
            "rectangles": [one.data(steps) for one in kept],
        }


def drawings_of(picture: FlameGraph, *, threads: bool = True) -> list[SpanBatch]:
    """Return the views of a picture.

    One request has a view over time, one a thread if `threads`, and one of what came after
    its response; everything has one by stack.
    """
    found: list[SpanBatch] = []
    if picture.request is not None:
        start_ns = picture.request.start_ns
        found.append(SpanBatch("over time", "time", _in_time(picture.pieces, start_ns)))
        for thread, own in _by_thread(picture) if threads else ():
            found.append(SpanBatch(f"thread {thread}", "time", _in_time(own, start_ns)))
        if picture.after:
            found.append(SpanBatch("after the response", "time", _in_time(picture.after, start_ns)))
    by_stack = _by_stack(picture.totals, picture.against)
    kind: Literal["stack", "difference"] = "stack" if picture.against is None else "difference"
    return [*found, SpanBatch("by stack", kind, by_stack)]


def _by_thread(picture: FlameGraph) -> list[tuple[int, list[Piece]]]:
    beside = [*picture.pieces, *picture.after, *picture.overlapped]
    threads = sorted({piece.thread for piece in beside if piece.thread is not None})
    return [
        (
            thread,
            sorted(
                (piece for piece in beside if piece.thread == thread),
                key=lambda piece: piece.start_ns,
            ),
        )
        for thread in threads
    ]


def _in_time(pieces: Sequence[Piece], start_ns: int) -> list[Rectangle]:
    return [
        Rectangle(
            span.start_ns - start_ns,
            span.end_ns - span.start_ns,
            span.depth,
            span.step,
            span.end_ns - span.start_ns,
        )
        for span in spans(pieces)
    ]


def _by_stack(a: StackTotals, b: StackTotals | None) -> list[Rectangle]:
    rectangles: list[Rectangle] = []
    _lay(tree(a, b), 0, -1, rectangles)
    return rectangles


def _lay(branch: Branch, x: int, depth: int, found: list[Rectangle]) -> int:
    """Lay a branch out from `x` on, what is below it side by side; return its width."""
    place = len(found)
    step = branch.step
    if step is not None:
        found.append(Rectangle(x, 0, depth, step, round(branch.a_ns), round(branch.b_ns)))
    inner = x
    for below in sorted(branch.below.values(), key=_order):
        inner += _lay(below, inner, depth + 1, found)
    width = max(round(max(branch.a_ns, branch.b_ns)), inner - x)
    if step is not None:
        found[place] = found[place]._replace(width=width)
    return width


def _order(branch: Branch) -> tuple[int, str]:
    step = branch.step
    if step is None:
        return 0, ""
    return (LAYERS.index(step.name) if step.kind == "layer" else 0), step.name
