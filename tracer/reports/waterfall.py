"""The waterfall of one request: what happened when, folded until it fits one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tracer.model.layers import LAYERS
from tracer.model.wording import duration, in_order, plural, ran_there, short
from tracer.reports.palette import COLOURS, NAMES
from tracer.reports.steps import steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.attribution.request import Handoff, Request, Segment
    from tracer.model.layers import Layer
    from tracer.reports.steps import Row

ROWS = 28
BAR_CELLS = 20
SHOWN_PHASES = 2
GOOD_PART = 0.2
RUNS, WAITS = "█", "░"


def waterfall(request: Request, limit: int = ROWS) -> Table:
    """Return the request as a table of at most `limit` rows."""
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, pad_edge=False)
    table.add_column("at ms", justify="right", width=6, no_wrap=True)
    table.add_column("took", justify="right", width=7, no_wrap=True)
    table.add_column("", width=BAR_CELLS, no_wrap=True)
    table.add_column("what ran (→ in another thread)", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("hand-off, µs", no_wrap=True)
    for row in steps(request, limit):
        table.add_row(
            f"{(row.segments[0].start_ns - request.start_ns) / 1e6:.3f}",
            duration(row.took_ns),
            _bar(row, request),
            _label(row),
            _phases(row.hops),
        )
    return table


def _bar(row: Row, request: Request) -> Text:
    """Draw each cell in the colour of whoever owns most of it: solid runs, light waits."""
    cell = max(request.duration_ns, 1) / BAR_CELLS
    owned: list[dict[tuple[Layer, bool], float]] = [{} for _ in range(BAR_CELLS)]
    for segment in row.segments:
        start, end = segment.start_ns - request.start_ns, segment.end_ns - request.start_ns
        key = (segment.layer, segment.state == "run" and segment.layer != "handoff")
        for place in range(int(start / cell), min(int(end / cell) + 1, BAR_CELLS)):
            inside = min(end, (place + 1) * cell) - max(start, place * cell)
            if inside > 0:
                owned[place][key] = owned[place].get(key, 0) + inside
    bar = Text()
    for seen in owned:
        if not seen:
            bar.append(" ")
            continue
        layer, runs = max(seen, key=lambda key: seen[key])
        bar.append(RUNS if runs else WAITS, style=COLOURS[layer])
    return bar


def _label(row: Row) -> Text:
    text = Text("  " * row.depth)
    if len(row.hops) == 1:
        text.append("→ ", style=COLOURS["handoff"])
        text.append(short(ran_there(row.hops[0].site)))
        return text
    if row.hops:
        text.append("→ ", style=COLOURS["handoff"])
        text.append(f"{plural(len(row.hops), 'hand-off')}: {_range(row.hops)}")
        return text
    layer, details, others = _owners(row.segments)
    text.append(NAMES[layer], style=COLOURS[layer])
    if len(details) == 1 and details[0]:
        text.append(f" {short(details[0], 1 if layer == 'middleware' else 2)}")
    elif len(details) > 1:
        text.append(f", {len(details)} of them")
    for other in others:
        text.append(", ").append(NAMES[other], style=COLOURS[other])
    return text


def _range(hops: Sequence[Handoff]) -> str:
    """Name the first and the last of several hand-offs."""
    first, last = (short(ran_there(hop.site)) for hop in (hops[0], hops[-1]))
    return first if first == last else f"{first} … {last}"


def _owners(segments: Sequence[Segment]) -> tuple[Layer, list[str | None], list[Layer]]:
    """Return the main layer of a row, who it is within, and other layers of a good part."""
    spent: dict[Layer, int] = {}
    for one in segments:
        spent[one.layer] = spent.get(one.layer, 0) + one.duration_ns
    ordered = sorted(spent, key=lambda layer: (-spent[layer], LAYERS.index(layer)))
    least = GOOD_PART * sum(spent.values())
    details = in_order([one.detail for one in segments if one.layer == ordered[0]])
    return ordered[0], details, [layer for layer in ordered[1:] if spent[layer] >= least]


def _phases(hops: Sequence[Handoff]) -> str:
    """Name the dearest phases: where the time between asking and running went."""
    spent: dict[str, int] = {}
    for hop in hops:
        for phase, ns in hop.phases.items():
            if ns and phase != "run":
                name = "thread" if phase == "submit" and hop.thread_started else phase
                spent[name] = spent.get(name, 0) + ns
    ordered = sorted(spent, key=lambda name: -spent[name])[:SHOWN_PHASES]
    return ", ".join(f"{name} {spent[name] / 1000:.0f}" for name in ordered)
