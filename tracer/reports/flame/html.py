"""A flame as one page: no request leaves it, nothing in it is run but our own drawing code.

The data is readable JSON: rectangles `[x, width, depth, step, a_ns, b_ns]` over a table of
steps `[name, layer, kind, where]`; `x` and `width` are nanoseconds.
"""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.flame_tree import spans, tree
from tracer.layers import LAYERS
from tracer.reports.palette import COLOURS, MEANINGS, NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.flame import Piece, Step
    from tracer.analysis.flame_tree import Branch, Folded
    from tracer.analysis.picture import Picture

Rectangle = tuple[int, int, int, int, int, int]
_MOST: Final = 50_000

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<h1>{title}</h1>
<div id="flame"></div>
<ul class="notes">
{notes}
</ul>
<script type="application/json" id="flame-data">
{data}
</script>
<script>
{script}
</script>
</body>
</html>
"""


def page(picture: Picture) -> str:
    """Return the whole page."""
    ours = files("tracer.reports.flame")
    notes = "\n".join(f"<li>{html.escape(note)}</li>" for note in picture.notes)
    return _PAGE.format(
        policy=_POLICY,
        title=html.escape(picture.title),
        style=ours.joinpath("flame.css").read_text(encoding="utf-8"),
        script=ours.joinpath("flame.js").read_text(encoding="utf-8"),
        notes=notes,
        data=embedded(flame_data(picture)),
    )


def embedded(document: dict[str, Any]) -> str:
    """Return JSON that can stand in a script element whatever text is in it."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def flame_data(picture: Picture) -> dict[str, Any]:
    """Return what the page draws: views of rectangles, and the steps they are of."""
    steps: dict[Step, int] = {}
    views: list[dict[str, Any]] = []
    if picture.request is not None:
        start_ns = picture.request.start_ns
        beside = [*picture.pieces, *picture.after, *picture.overlapped]
        views.append(_in_time("over time", picture.pieces, start_ns, steps))
        threads = sorted({piece.thread for piece in beside if piece.thread is not None})
        for thread in threads:
            own = [piece for piece in beside if piece.thread == thread]
            own.sort(key=lambda piece: piece.start_ns)
            views.append(_in_time(f"thread {thread}", own, start_ns, steps))
        if picture.after:
            views.append(_in_time("after the response", picture.after, start_ns, steps))
    views.append(_by_stack(picture.folded, picture.against, steps))
    return {
        "schema": "tracer.flame/1",
        "title": picture.title,
        "names": list(picture.names),
        "layers": {
            layer: {"name": NAMES[layer], "colour": COLOURS[layer], "meaning": MEANINGS[layer]}
            for layer in LAYERS
        },
        "steps": [list(step) for step in steps],
        "views": views,
    }


def _in_time(
    name: str, pieces: Sequence[Piece], start_ns: int, steps: dict[Step, int]
) -> dict[str, Any]:
    rectangles: list[Rectangle] = []
    for span in spans(pieces):
        number = steps.setdefault(span.step, len(steps))
        length = span.end_ns - span.start_ns
        rectangles.append((span.start_ns - start_ns, length, span.depth, number, length, 0))
    return _view(name, "time", rectangles)


def _by_stack(a: Folded, b: Folded | None, steps: dict[Step, int]) -> dict[str, Any]:
    rectangles: list[Rectangle] = []
    _lay(tree(a, b), 0, -1, rectangles, steps)
    return _view("by stack", "stack" if b is None else "difference", rectangles)


def _view(name: str, kind: str, rectangles: list[Rectangle]) -> dict[str, Any]:
    largest = sorted(rectangles, key=lambda one: -one[1])[:_MOST]
    kept = sorted(largest, key=lambda one: (one[0], one[2]))
    return {
        "name": name,
        "kind": kind,
        "hidden": len(rectangles) - len(kept),
        "rectangles": [list(one) for one in kept],
    }


def _lay(branch: Branch, x: int, depth: int, found: list[Rectangle], steps: dict[Step, int]) -> int:
    """Lay a branch out from `x` on, what is below it side by side; return its width."""
    place = len(found)
    step = branch.step
    if step is not None:
        found.append((0, 0, 0, 0, 0, 0))
    inner = x
    for below in sorted(branch.below.values(), key=_order):
        inner += _lay(below, inner, depth + 1, found, steps)
    width = max(round(max(branch.a_ns, branch.b_ns)), inner - x)
    if step is not None:
        number = steps.setdefault(step, len(steps))
        found[place] = (x, width, depth, number, round(branch.a_ns), round(branch.b_ns))
    return width


def _order(branch: Branch) -> tuple[int, str]:
    step = branch.step
    if step is None:
        return 0, ""
    return (LAYERS.index(step.name) if step.kind == "layer" else 0), step.name
