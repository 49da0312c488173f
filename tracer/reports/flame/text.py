"""A flame in the terminal: the tree of time by stack, a line a level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from tracer.analysis.flame.tree import tree
from tracer.reports.palette import COLOURS, NAMES

if TYPE_CHECKING:
    from rich.console import Console

    from tracer.analysis.flame.flame_graph import FlameGraph
    from tracer.analysis.flame.tree import Branch

_BAR: Final = 24
_LEAST: Final = 0.005
_MOST_ROWS: Final = 120
_MS: Final = 1e6


def render_flame(picture: FlameGraph, console: Console) -> None:
    """Print the tree; levels of less than half a per cent are left out and counted."""
    root = tree(picture.totals, picture.against)
    compared = picture.against is not None
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, pad_edge=False)
    for name in (*picture.names,) if compared else ("ms",):
        table.add_column(Text(name), justify="right", no_wrap=True)
    if compared:
        table.add_column("Δ ms", justify="right", no_wrap=True)
    table.add_column("", width=_BAR, no_wrap=True)
    table.add_column("layer, owner, functions", ratio=1, no_wrap=True, overflow="ellipsis")
    whole = max(root.a_ns, root.b_ns, 1.0)
    shown, hidden = _rows(root, whole)
    for depth, branch in shown:
        table.add_row(
            *_figures(branch, compared=compared), _bar(branch, whole), _name(branch, depth)
        )
    console.print(Text(picture.title, style="bold"))
    console.print(table)
    if hidden:
        console.print(Text(f"{hidden} smaller levels are not shown", style="dim"))
    for note in picture.notes:
        console.print(Text(note, style="dim"))


def _rows(root: Branch, whole: float) -> tuple[list[tuple[int, Branch]], int]:
    found: list[tuple[int, Branch]] = []
    hidden = 0
    waiting = [(0, branch) for branch in _largest_last(root)]
    while waiting:
        depth, branch = waiting.pop()
        if max(branch.a_ns, branch.b_ns) < whole * _LEAST or len(found) >= _MOST_ROWS:
            hidden += 1
            continue
        found.append((depth, branch))
        waiting += [(depth + 1, below) for below in _largest_last(branch)]
    return found, hidden


def _largest_last(branch: Branch) -> list[Branch]:
    return sorted(branch.below.values(), key=lambda one: max(one.a_ns, one.b_ns))


def _figures(branch: Branch, *, compared: bool) -> list[str]:
    if not compared:
        return [f"{branch.a_ns / _MS:.3f}"]
    a, b = branch.a_ns / _MS, branch.b_ns / _MS
    return [f"{a:.3f}", f"{b:.3f}", f"{b - a:+.3f}"]


def _bar(branch: Branch, whole: float) -> Text:
    cells = round(max(branch.a_ns, branch.b_ns) / whole * _BAR)
    step = branch.step
    waits = step is not None and step.kind == "wait"
    colour = COLOURS.get(step.layer, "") if step is not None else ""  # type: ignore[call-overload]
    return Text(("░" if waits else "█") * max(cells, 1), style=colour)


def _name(branch: Branch, depth: int) -> Text:
    step = branch.step
    if step is None:
        return Text()
    name = NAMES.get(step.name, step.name) if step.kind == "layer" else step.name  # type: ignore[call-overload]
    text = Text("  " * depth + str(name), style="bold" if step.kind == "layer" else "")
    if step.where:
        text.append(f"  {step.where.rpartition('/')[2]}", style="dim")
    return text
