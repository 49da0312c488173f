"""A page of HTML from what the terminal shows: one file, readable offline, light and dark."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import TerminalTheme

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDTH = 100

_SEPARATOR = "\0"
# What rich blends into "dim" has to read on white and on black: grey lies between.
_THEME = TerminalTheme((255, 255, 255), (0, 0, 0), [(118, 118, 118)] * 8, [(118, 118, 118)] * 8)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6e6e6; --paper: #16181c; }} }}
body {{ margin: 1.5rem; color: var(--ink); background: var(--paper); }}
pre {{ margin: 0; overflow-x: auto; line-height: 1.25;
  font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
{styles}
</style>
</head>
<body>
<pre>{text}</pre>
</body>
</html>
"""


def write_html(path: Path, render: Callable[[Console], None], title: str) -> None:
    """Write what `render` prints as a self-contained page."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
        legacy_windows=False,
    )
    render(console)
    code_format = "{stylesheet}" + _SEPARATOR + "{code}"
    exported = console.export_html(theme=_THEME, code_format=code_format)
    styles, _, text = exported.partition(_SEPARATOR)
    page = _PAGE.format(title=html.escape(title), styles=styles, text=text)
    path.write_text(page, encoding="utf-8")
