"""The live view: what an agent saw recently, by route and by layer, for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tracer.analysis.statistics.window_stats import WindowStats, together
from tracer.model.layers import LAYERS
from tracer.model.wording import count, duration, percent, plural
from tracer.reports.palette import COLOURS, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Size = tuple[int, int]

BAR_CELLS: Final = 24
NOTHING: Final = "-"
FRAME_LINES: Final = 20
FEWEST_ROUTES: Final = 3
WIDE_ENOUGH: Final = 110
MANY: Final = 100
SORTS: Final[dict[str, tuple[str, Callable[[WindowStats], float]]]] = {
    "t": ("time", lambda one: one.latency.sum_ns),
    "r": ("requests", lambda one: one.requests),
    "p": ("p50", lambda one: one.latency.quantile(0.5)),
    "9": ("p99", lambda one: one.latency.quantile(0.99)),
    "h": ("hand-offs", lambda one: one.handoffs),
    "l": ("loop", lambda one: one.each(one.layers["event_loop"].sum_ns)),
    "e": ("errors", lambda one: one.errors),
}
KEYS: Final = (
    "sort: t time  r requests  p p50  9 p99  h hand-offs  l loop  e errors",
    "/ route filter  w window  space freeze  q quit",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """How it is looked at: sorted by a key of `SORTS`, filtered by a part of the route's name."""

    sort: str = "t"
    wanted: str = ""
    typing: bool = False
    frozen: bool = False
    window: str = "10 s"


def live_view(
    snapshot: Mapping[str, Any],
    routes: Sequence[WindowStats],
    seconds: float,
    shown: Shown,
    size: Size,
) -> Group:
    """Return the whole view; `size` is how many columns and lines there are for it."""
    chosen = [one for one in routes if shown.wanted.lower() in (one.route or "unknown").lower()]
    chosen.sort(key=SORTS[shown.sort][1], reverse=True)
    room = max(FEWEST_ROUTES, size[1] - FRAME_LINES)
    whole = together(chosen, seconds)
    return Group(
        _head(snapshot, whole, shown),
        Text(),
        _routes(chosen[:room], shown, drawn=size[0] >= WIDE_ENOUGH),
        Text(_below(len(routes), chosen, room), style="dim"),
        Text(),
        _layers(whole),
        Text(),
        *(Text(line, style="dim", no_wrap=True) for line in KEYS),
    )


def _head(snapshot: Mapping[str, Any], whole: WindowStats, shown: Shown) -> Table:
    table = Table.grid(padding=(0, 3))
    name = Text(str(snapshot.get("recording", "")), style="bold", no_wrap=True, overflow="ellipsis")
    window = f"last {min(whole.seconds, 60):.0f} s" if whole.seconds else "since it began"
    said = f"{window}, by {SORTS[shown.sort][0]}"
    state = Text(" FROZEN ", style="reverse") if shown.frozen else Text(said)
    cursor = "▏" if shown.typing else ""
    filtered = Text(f"route: {shown.wanted}{cursor}" if shown.wanted or shown.typing else "")
    table.add_row(name, state, filtered)
    line = [
        _rate(whole, whole.requests, "requests/s"),
        _rate(whole, whole.handoffs + whole.handoffs_after_response, "hand-offs/s"),
        f"loop wait p99 {duration(whole.layers['event_loop'].quantile(0.99))}",
        f"wake p99 {duration(whole.wake.quantile(0.99))}",
        f"{percent(whole.each(whole.errors))} errors",
    ]
    account = [
        plural(snapshot.get("workers", 0), "worker"),
        f"{snapshot.get('recorded', 0)} recorded",
        f"{snapshot.get('dropped', 0)} dropped",
        f"{snapshot.get('lag', 0)} not attributed yet",
    ]
    view = Table.grid()
    view.add_row(table)
    view.add_row(Text("   ".join(line)))
    style = "bold red" if snapshot.get("dropped") or snapshot.get("failure") else "dim"
    view.add_row(
        Text("   ".join([*account, str(snapshot.get("failure") or "")]).rstrip(), style=style)
    )
    return view


def _rate(whole: WindowStats, total: float, unit: str) -> str:
    if not whole.seconds:
        return f"{NOTHING} {unit}"
    rate = whole.rate(total)
    return f"{rate:.0f} {unit}" if rate >= MANY else f"{count(rate)} {unit}"


def _routes(chosen: Sequence[WindowStats], shown: Shown, *, drawn: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    table.add_column("route", ratio=1, min_width=12, no_wrap=True, overflow="ellipsis")
    by = SORTS[shown.sort][0]
    for title, key in (
        ("requests/s", "requests"),
        ("p50", "p50"),
        ("p99", "p99"),
        ("hand-offs", "hand-offs"),
        ("loop", "loop"),
        ("errors", "errors"),
    ):
        table.add_column(f"{title} ▾" if key == by else title, justify="right", no_wrap=True)
    if drawn:
        title = "by layer ▾" if by == "time" else "by layer"
        table.add_column(title, width=BAR_CELLS, no_wrap=True)
    for one in chosen:
        table.add_row(
            Text(one.route if one.route is not None else "unknown"),
            count(one.rate(one.requests)) if one.seconds else f"{count(one.requests)} in all",
            duration(one.latency.quantile(0.5)),
            duration(one.latency.quantile(0.99)),
            count(one.each(one.handoffs)),
            duration(one.each(one.layers["event_loop"].sum_ns)),
            percent(one.each(one.errors)) if one.errors else NOTHING,
            *([_bar(one)] if drawn else []),
        )
    return table


def _bar(one: WindowStats) -> Text:
    """Draw the layers as parts of a line: what is left out for being small is at its end."""
    bar = Text()
    left = BAR_CELLS
    for layer in LAYERS:
        cells = min(left, round(BAR_CELLS * one.share(layer)))
        bar.append("█" * cells, style=COLOURS[layer])
        left -= cells
    return bar


def _below(total: int, chosen: Sequence[WindowStats], room: int) -> str:
    if not total:
        return "no requests in this time"
    said = [] if len(chosen) == total else [f"{len(chosen)} of {plural(total, 'route')} match"]
    if len(chosen) > room:
        said.append(f"{len(chosen) - room} more")
    return ", ".join(said)


def _layers(whole: WindowStats) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("layer", no_wrap=True)
    for title in ("mean", "p50", "p99", "share"):
        table.add_column(title, justify="right", no_wrap=True, min_width=8)
    table.add_column("", width=BAR_CELLS, no_wrap=True)
    for layer in LAYERS:
        seen = whole.layers[layer]
        if not seen.sum_ns:
            continue
        table.add_row(
            Text(NAMES[layer], style=COLOURS[layer]),
            duration(whole.each(seen.sum_ns)),
            duration(seen.quantile(0.5)),
            duration(seen.quantile(0.99)),
            percent(whole.share(layer)),
            Text("█" * round(BAR_CELLS * whole.share(layer)), style=COLOURS[layer]),
        )
    return table
