"""The tables of the terminal report: latencies, layers, hand-off sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tracer.model.layers import LAYERS
from tracer.model.wording import asked_by, count, duration, percent, ran_there, short
from tracer.reports.answer import signed
from tracer.reports.palette import COLOURS, NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tracer.model.layers import Layer

Entry = dict[str, Any]

BAR_CELLS = 20
SITES = 10
NOTHING = "-"
MORE, LESS = "█", "░"


def _table(title: str) -> Table:
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        header_style="",
    )


def _right(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(Text(name), justify="right", no_wrap=True, overflow="ellipsis")


def layer_name(layer: Layer) -> Text:
    """Return the layer's name in its colour."""
    return Text(NAMES[layer], style=COLOURS[layer])


def latencies(entries: Sequence[Entry]) -> Table:
    """One row a configuration: percentiles, controls, floor, counts."""
    table = _table("Latency at the median and beyond (untraced: the median of control rounds)")
    table.add_column("", overflow="fold", min_width=6)
    controlled = any(entry["untraced_latency_ns"] for entry in entries)
    floored = any(entry["network_floor_ns"] for entry in entries)
    extra = (["untraced", "tracing"] if controlled else []) + (["floor"] if floored else [])
    _right(table, "p50", "p90", "p99", *extra, "requests", "errors")
    for entry in entries:
        cells = [duration(entry["latency_ns"][name]) for name in ("p50", "p90", "p99")]
        if controlled:
            untraced, moved = entry["untraced_latency_ns"], entry["tracing_moved_median"]
            cells.append(duration(untraced["p50"]) if untraced else NOTHING)
            cells.append(f"{moved * 100:+.1f} %" if moved is not None else NOTHING)
        if floored:
            floor = entry["network_floor_ns"]
            cells.append(duration(floor["p50"]) if floor else NOTHING)
        cells += [str(entry["requests"]), str(entry["errors"])]
        table.add_row(Text(entry["name"]), *cells)
    return table


def layers_of_pair(pair: Mapping[str, Any], a: Entry, b: Entry) -> Table:
    """Two configurations side by side with the difference each layer makes."""
    table = _table("Where the time goes (means per request)")
    table.add_column("layer", no_wrap=True)
    _right(table, a["name"], b["name"], "difference", "95 % interval", "share")
    table.add_column(Text(f"{MORE} more  {LESS} less"), no_wrap=True)
    largest = max((abs(one["delta_ns"]) for one in pair["layers"]), default=0)
    for one, here, there in zip(pair["layers"], a["layers"], b["layers"], strict=True):
        if not here["mean_ns"] and not there["mean_ns"]:
            continue
        share = one["share_of_delta"]
        table.add_row(
            layer_name(one["layer"]),
            _time(here["mean_ns"]),
            _time(there["mean_ns"]),
            signed(one["delta_ns"]),
            _interval(one["ci95"]),
            NOTHING if share is None else percent(share),
            _bar(one["delta_ns"], largest, one["layer"]),
        )
    total = pair["mean_latency_delta_ns"]
    table.add_row(
        Text("mean latency", style="bold"),
        duration(mean_of(a)),
        duration(mean_of(b)),
        signed(total["value"]),
        _interval(total["ci95"]),
    )
    return table


def layers_of_many(entries: Sequence[Entry]) -> Table:
    """Any number of configurations side by side; a single one with its shares."""
    table = _table("Where the time goes (means per request)")
    table.add_column("layer", no_wrap=True)
    _right(table, *(entry["name"] for entry in entries))
    single = entries[0] if len(entries) == 1 else None
    if single:
        _right(table, "p50", "share")
        table.add_column("", no_wrap=True)
    for place, layer in enumerate(LAYERS):
        found = [entry["layers"][place] for entry in entries]
        if not any(one["mean_ns"] for one in found):
            continue
        cells: list[str | Text] = [_time(one["mean_ns"]) for one in found]
        if single:
            cells += [_time(found[0]["p50_ns"]), percent(found[0]["share"])]
            largest = max(one["mean_ns"] for one in single["layers"])
            cells.append(_bar(found[0]["mean_ns"], largest, layer))
        table.add_row(layer_name(layer), *cells)
    table.add_row(Text("mean latency", style="bold"), *(duration(mean_of(e)) for e in entries))
    return table


def mean_of(entry: Entry) -> int:
    """Return the mean latency that the layers sum to."""
    return sum(one["mean_ns"] for one in entry["layers"])


def _time(ns: int) -> str:
    return duration(ns) if ns else NOTHING


def _interval(ends: Sequence[int] | None) -> str:
    return NOTHING if ends is None else f"{signed(ends[0])} to {signed(ends[1])}"


def _bar(value: float, largest: float, layer: Layer) -> Text:
    cells = round(BAR_CELLS * abs(value) / largest) if largest else 0
    return Text((MORE if value > 0 else LESS) * cells, style=COLOURS[layer])


def sites(entry: Entry, limit: int = SITES) -> Table | None:
    """Where hand-offs are asked for and what they cost; None where nobody asks."""
    handoffs = entry["handoffs"]
    found = handoffs["sites"]
    if not found:
        return None
    cost = sum(one["mean_ns"] for one in found)
    table = _table(
        f"Hand-offs of {entry['name']}: {count(handoffs['per_request'])} a request and "
        f"{count(handoffs['after_response_per_request'])} after the response, {duration(cost)}"
    )
    table.add_column(Text("what ran in a thread"), no_wrap=True, overflow="ellipsis", ratio=4)
    table.add_column(Text("asked by"), no_wrap=True, overflow="ellipsis", ratio=3)
    _right(table, "times", "cost", "wake p50")
    table.expand = True
    for one in found[:limit]:
        back = "" if one["direction"] == "to_thread" else "(on a loop) "
        wake = one["wake_p50_ns"]
        table.add_row(
            Text(back + short(ran_there(one["site"]))),
            Text(short(asked_by(one["site"]))),
            count(one["per_request"]),
            duration(one["mean_ns"]),
            NOTHING if wake is None else duration(wake),
        )
    rest = found[limit:]
    if rest:
        times = sum(one["per_request"] for one in rest)
        spent = sum(one["mean_ns"] for one in rest)
        table.add_row(f"and {len(rest)} more", "", count(times), duration(spent), "")
    return table


def phases(entry: Entry) -> Text | None:
    """Say the mean phases of a hand-off in a line."""
    known = [one for one in entry["handoffs"]["phases"] if one["mean_ns"]]
    if not known:
        return None
    said = " · ".join(f"{one['phase']} {one['mean_ns'] / 1000:.0f}" for one in known)
    return Text(f"One on average, µs: {said}")
