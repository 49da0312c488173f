"""The page itself: a template, our styles and scripts, uPlot, and the data, in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tracer.reports.files import open_output
from tracer.reports.json import finite
from tracer.reports.page.compact import Compact
from tracer.reports.palette import legend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCHEMA: Final = "tracer.page/1"
OUR_STYLES: Final = ("assets/page.css", "assets/parts.css", "assets/print.css")
STYLES: Final = ("vendor/uPlot.min.css", *OUR_STYLES)
CHARTS: Final = "vendor/uPlot.iife.min.js"
# One script, in this order: what is defined above is used below. A section is one file here
# and one line in `main.js`; it shows nothing where the data has nothing for it.
SCRIPTS: Final = (
    "dom.js",
    "words.js",
    "theme.js",
    "table.js",
    "chart.js",
    "answer.js",
    "layers.js",
    "canvas.js",
    "lanes.js",
    "waterfall.js",
    "input.js",
    "search.js",
    "steps.js",
    "scatter.js",
    "request.js",
    "handoffs.js",
    "distribution.js",
    "flame.js",
    "flamegraph.js",
    "flames.js",
    "evidence.js",
    "main.js",
)
_SHORT: Final = 120
# What could end a script element or begin another is no longer there for the parser.
_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028"}
_ESCAPES_TABLE: Final = str.maketrans({**_ESCAPES, "\u2029": "\\u2029"})


def write_page(path: Path, title: str, views: Sequence[Mapping[str, Any]]) -> None:
    """Write the page of one view or more; raise OSError where it can't be written."""
    page = render_page(title, views)
    with open_output(path) as stream:
        stream.write(page)


def render_page(title: str, views: Sequence[Mapping[str, Any]]) -> str:
    """Return the page; names and texts in it are data, never markup."""
    return assemble(
        title,
        data_of(title, views),
        styles=STYLES,
        scripts=SCRIPTS,
        charts=CHARTS,
        answers=[said for view in views for said in view["said"]["answers"]],
    )


def assemble(  # noqa: PLR0913 - the parts of a page
    title: str,
    data: Mapping[str, Any],
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    charts: str | None = None,
    answers: Sequence[str] = (),
) -> str:
    """Return a page of some data and the assets that show it; `answers` are for no scripts."""
    style = "\n".join(_asset(name) for name in styles)
    script = "\n".join(_asset(f"assets/{name}") for name in scripts)
    library = _asset(charts) if charts else ""
    template = _environment().from_string(_asset("assets/page.html"))
    return template.render(
        title=title,
        answers=answers,
        policy=_policy(styles=[style], scripts=[one for one in (library, script) if one]),
        styles=Markup(style),  # noqa: S704 - ours, read from this package
        charts=Markup(library),  # noqa: S704 - the same
        script=Markup(script),  # noqa: S704 - the same
        data=Markup(encoded(data)),  # noqa: S704 - escaped there
    )


def data_of(title: str, views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the page's scripts read, ready for JSON."""
    compact = Compact()
    shown = [
        {
            **view,
            "sides": [
                {**side, "requests": [compact.request(one) for one in side["requests"]]}
                for side in view["sides"]
            ],
        }
        for view in views
    ]
    return {
        "schema": SCHEMA,
        "title": title,
        "layers": legend(),
        "tables": compact.tables(),
        "views": shown,
    }


def _environment() -> Environment:
    return Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)


def _asset(name: str) -> str:
    return files("tracer.reports.page").joinpath(*name.split("/")).read_text(encoding="utf-8")


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return a policy that allows these inline texts and nothing else: no network, no others."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def encoded(value: Any) -> str:
    """Return JSON that a person can read and an HTML parser takes for text."""
    return _lines(finite(value), 0).translate(_ESCAPES_TABLE)


def _lines(value: Any, depth: int) -> str:
    """Break what holds objects into lines, unless it is short; rows of figures stay on one."""
    if not (
        isinstance(value, dict) or (isinstance(value, (list, tuple)) and _holds_objects(value))
    ):
        return _plain(value)
    if isinstance(value, dict):
        items = [f"{_plain(str(name))}: {_lines(item, depth + 1)}" for name, item in value.items()]
        opening, closing = "{", "}"
    else:
        items = [_lines(item, depth + 1) for item in value]
        opening, closing = "[", "]"
    if sum(map(len, items)) < _SHORT and not any("\n" in item for item in items):
        return f"{opening}{', '.join(items)}{closing}"
    indent = " " * depth
    return f"{opening}\n{indent} " + f",\n{indent} ".join(items) + f"\n{indent}{closing}"


def _holds_objects(value: Sequence[Any]) -> bool:
    return any(isinstance(one, (dict, str)) for one in value)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
