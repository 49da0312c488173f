"""What a person reads: the answer first, then the evidence, then what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from tracer.analysis.findings.advice import OBSERVER_FINDING
from tracer.analysis.statistics.summary import explained_requests, median_request
from tracer.model.wording import duration, plural
from tracer.reports import tables
from tracer.reports.answer import (
    certainty_sentence,
    comparison_sentence,
    report_sentence,
    sampling_sentences,
)
from tracer.reports.waterfall import ROWS, waterfall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, RenderableType

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.statistics.measurement import Measurement

Document = dict[str, Any]

WIDTH = 100
FEW_ROWS = 8
INDENT = 4
SIDE_BY_SIDE = 5
SEAMS_NAMED = 4
PAIR = 2
COUNTED = ("seen", "recorded", "dropped")


def render_comparison(
    document: Document, measurements: Sequence[Measurement], console: Console
) -> None:
    """Print a comparison of one configuration or more."""
    entries = document["configurations"]
    pairs = _pairs(document["comparison"])
    by_name = {entry["name"]: entry for entry in entries}
    _doubts(document["findings"], console)
    for pair in pairs:
        _say(console, comparison_sentence(pair, by_name[pair["a"]], by_name[pair["b"]]), "bold")
        _say(console, certainty_sentence(pair))
    if not pairs and entries:
        _say(console, report_sentence(entries[0]), "bold")
    _environment(document, console)
    if len(pairs) == 1 and len(entries) == PAIR:
        _show(console, tables.layers_of_pair(pairs[0], entries[0], entries[1]))
    else:
        for start in range(0, len(entries), SIDE_BY_SIDE):
            _show(console, tables.layers_of_many(entries[start : start + SIDE_BY_SIDE]))
    _show(console, tables.latencies(entries))
    _sites(entries, console)
    _waterfalls(entries, measurements, console)
    _findings(document["findings"], console, named=len(entries) > 1)
    _footnotes(document, measurements, console)


def render_report(
    document: Document, measurement: Measurement, console: Console, request: Request | None = None
) -> None:
    """Print the report of one configuration, with one request or its median one."""
    entry = document["configurations"][0]
    _doubts(document["findings"], console)
    _say(console, report_sentence(entry), "bold")
    _environment(document, console)
    _show(console, tables.layers_of_many([entry]))
    _show(console, tables.latencies([entry]))
    _sites([entry], console)
    chosen = request or measurement.median
    chosen = chosen or median_request(explained_requests(measurement))
    if chosen:
        _request(chosen, console, "Request" if request else "The median request")
    _findings(document["findings"], console, named=False)
    _footnotes(document, [measurement], console)


def render_request(request: Request, console: Console) -> None:
    """Print one request."""
    _request(request, console, "Request")


def _pairs(comparison: Any) -> list[Mapping[str, Any]]:
    return comparison if isinstance(comparison, list) else [comparison]


def _width(console: Console) -> int:
    return min(console.width, WIDTH)


def _say(console: Console, words: str, style: str = "", indent: int = 0) -> None:
    text = Padding(Text(words, style=style), (0, 0, 0, indent), expand=False)
    console.print(text, width=_width(console), highlight=False)


def _show(console: Console, table: RenderableType | None) -> None:
    if table is not None:
        console.print()
        console.print(table, width=_width(console), highlight=False)


def _doubts(findings: Sequence[Document], console: Console) -> None:
    """Say before all else that tracing moved what it measured."""
    for found in findings:
        if found["id"] == OBSERVER_FINDING:
            _say(console, f"Mind: {found['title']}.", "bold")


def _environment(document: Document, console: Console) -> None:
    known = document["environment"]
    said = [f"{known.get('implementation') or 'Python'} {known.get('python') or '?'}"]
    for name, label in (
        ("django", "Django"),
        ("asgiref", "asgiref"),
        ("djangorestframework", "DRF"),
    ):
        if known.get(name):
            said.append(f"{label} {known[name]}")
    said += [f"{name} {version}" for name, version in (known.get("servers") or {}).items()]
    if known.get("cpus"):
        said.append(plural(known["cpus"], "CPU"))
    load = document.get("load")
    if load:
        rate, times = load.get("rate"), load.get("concurrency")
        said.append(f"{rate:g} requests/s" if rate else f"concurrency {times}")
        said.append(str(load.get("connection")))
    _say(console, ", ".join(said), "dim")


def _sites(entries: Sequence[Document], console: Console) -> None:
    for entry in entries:
        table = tables.sites(entry)
        if table is None:
            continue
        _show(console, table)
        line = tables.phases(entry)
        if line is not None:
            console.print(line, width=_width(console), highlight=False)


def _waterfalls(
    entries: Sequence[Document], measurements: Sequence[Measurement], console: Console
) -> None:
    """Show the median request of the slowest in full, that of the other of two in short."""
    ordered = sorted(
        zip(entries, measurements, strict=True), key=lambda pair: -pair[0]["latency_ns"]["p50"]
    )
    for place, (entry, measurement) in enumerate(ordered[:PAIR]):
        chosen = median_request(explained_requests(measurement))
        if chosen and (not place or len(ordered) == PAIR):
            limit = FEW_ROWS if place else ROWS
            _request(chosen, console, f"The median request of {entry['name']}", limit)


def _request(request: Request, console: Console, title: str, limit: int = ROWS) -> None:
    console.print()
    target = request.target or request.route or "an unknown route"
    said = f"{title}: {request.method} {target}, {request.status or 'no status'}, "
    _say(console, f"{said}{duration(request.duration_ns)}, {request.request_id}", "bold")
    console.print(waterfall(request, limit), width=_width(console), highlight=False)
    if request.after_response_ns:
        _say(console, f"After the response: {duration(request.after_response_ns)}, not in the sum.")
    if request.overlapped:
        spent = sum(segment.duration_ns for segment in request.overlapped)
        _say(console, f"Beside the main track: {duration(spent)}, not in the sum.")


def _findings(findings: Sequence[Document], console: Console, *, named: bool) -> None:
    console.print()
    if not findings:
        _say(console, "Findings: nothing that would be worth a change.", "bold")
        return
    _say(console, "Findings (savings are estimates from these measurements, and overlap)", "bold")
    for number, found in enumerate(findings, 1):
        name = f"{found['evidence'].get('configuration')}: " if named else ""
        _say(console, f"{number:>2}. {name}{found['title']}", "bold")
        saving = found["predicted_saving_ns"]
        said = f" Saves about {duration(saving)} a request." if saving > 0 else ""
        _say(console, f"{found['advice']}{said}", indent=INDENT)


def _footnotes(document: Document, measurements: Sequence[Measurement], console: Console) -> None:
    console.print()
    for line in _notes(document, measurements):
        _say(console, line, "dim")


def _notes(document: Document, measurements: Sequence[Measurement]) -> list[str]:
    """Say what limits these figures: no client, no controls, gaps, drops."""
    lines = []
    if not any(request.client for one in measurements for request in one.requests):
        lines.append(
            "No network layer: tracer's own client did not drive this load, so nothing is known "
            "from before the server touched a request."
        )
    if any(entry["network_floor_ns"] for entry in document["configurations"]):
        lines.append("The floor is what the same client measures against a bare echo server.")
    for measurement, entry in zip(measurements, document["configurations"], strict=True):
        name = measurement.name
        lines.extend(f"{name}: {said}" for said in sampling_sentences(entry))
        missing = [one.seam for one in measurement.seams if one.status != "installed"]
        if missing:
            more = len(missing) - SEAMS_NAMED
            tail = f" and {plural(more, 'other')}" if more > 0 else ""
            lines.append(
                f"{name}: {plural(len(missing), 'seam')} absent or refused: "
                f"{', '.join(missing[:SEAMS_NAMED])}{tail}."
            )
        if measurement.dropped_timelines:
            dropped = plural(measurement.dropped_timelines, "timeline")
            lines.append(f"{name}: {dropped} dropped, not in these figures.")
        counted = _counted(measurement)
        if counted:
            lines.append(f"{name}: {counted}.")
        lines.extend(f"{name}: {note}" for note in measurement.notes)
    return lines


def _counted(measurement: Measurement) -> str:
    """Say how many requests there were, how many of them these figures are of."""
    counts = measurement.counts
    said = [
        f"{counts[name]:.0f} {name}"
        for name in COUNTED
        if name in counts and (name != "recorded" or len(counts) > 1)
    ]
    weighed = counts.get("weighted", counts.get("recorded"))
    if said and weighed != counts.get("recorded"):
        said.append(f"standing for {weighed:.0f}")
    return f"requests: {', '.join(said)}" if said else ""
