"""A flame as one page: no request leaves it, nothing in it is run but our own drawing code.

Template, styles and scripts are those of the report's page; the data are readable JSON,
`tracer.flame/1`: views of rectangles over a table of steps (`reports/page/rectangles.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracer.reports.page.compact import Names
from tracer.reports.page.rectangles import drawings_of
from tracer.reports.page.render import OUR_STYLES, assemble
from tracer.reports.palette import legend

if TYPE_CHECKING:
    from tracer.analysis.flame.flame_graph import FlameGraph

SCRIPTS: Final = (
    "dom.js",
    "words.js",
    "theme.js",
    "table.js",
    "canvas.js",
    "input.js",
    "search.js",
    "flame.js",
    "flamegraph.js",
    "flamealone.js",
)


def page(picture: FlameGraph) -> str:
    """Return the whole page."""
    return assemble(picture.title, flame_data(picture), styles=OUR_STYLES, scripts=SCRIPTS)


def flame_data(picture: FlameGraph) -> dict[str, Any]:
    """Return what the page draws: views of rectangles, and the steps they are of."""
    steps = Names()
    views = [one.data(steps) for one in drawings_of(picture)]
    return {
        "schema": "tracer.flame/1",
        "title": picture.title,
        "names": list(picture.names),
        "notes": list(picture.notes),
        "layers": legend(),
        "steps": [list(step) for step in steps.all],
        "views": views,
    }
