"""A run's documents, and what a person is told of it beside the comparison itself."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from tracer.analysis.documents import compare_document
from tracer.settings.flame import INTERVAL, SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from tracer.compare.experiment import Experiment
    from tracer.compare.load import LoadPlan
    from tracer.compare.run import Outcome

_NS_PER_MS = 1e6
_APART = "Taken after the rounds, one request after the other; taking stacks costs time."


def document_of(experiment: Experiment, outcome: Outcome) -> dict[str, Any]:
    """Return the contract's `tracer.comparison/1`, with the load that was driven."""
    load = experiment.load
    return {
        **compare_document(outcome.measurements),
        "load": {
            "method": load.method,
            "paths": list(load.targets),
            "connection": load.connection,
            "concurrency": None if load.rate else load.concurrency,
            "rate": load.rate,
            "rounds": outcome.rounds,
            "requests_per_round": load.requests,
        },
        "interrupted": outcome.interrupted,
        "failure": outcome.failure,
    }


def render(
    documents: Sequence[dict[str, Any]],
    runs: Sequence[tuple[Experiment, Outcome]],
    console: Console,
) -> None:
    """Print the first run in full, the others as a few lines below it."""
    from tracer.reports.terminal import render_comparison

    for line in _remarks(*runs[0]):
        console.print(line, style="yellow", markup=False, highlight=False)
    render_comparison(documents[0], runs[0][1].measurements, console)
    for document, (experiment, outcome) in zip(documents[1:], runs[1:], strict=True):
        console.print(f"\nThe same with {_load_words(experiment.load)}", style="bold")
        for line in _remarks(experiment, outcome):
            console.print(line, style="yellow", markup=False, highlight=False)
        _render_beside(document, console)


def views_of(
    documents: Sequence[dict[str, Any]], runs: Sequence[tuple[Experiment, Outcome]]
) -> list[dict[str, Any]]:
    """Return one view of the page a run; they share the room for requests in full."""
    from tracer.reports.page.view import SEGMENTS, side_of, view_of

    room = SEGMENTS // max(1, sum(len(outcome.measurements) for _, outcome in runs))
    views = []
    for document, (experiment, outcome) in zip(documents, runs, strict=True):
        sides = [
            side_of(measurement, entry, room)
            for measurement, entry in zip(
                outcome.measurements, document["configurations"], strict=True
            )
        ]
        view = view_of(document, sides, _load_words(experiment.load), _flames(outcome))
        view["remarks"] = [*_remarks(experiment, outcome), *view["remarks"]]
        if experiment.flame:
            view["repeat"] = [f"{one} {_flame_words(experiment.flame)}" for one in view["repeat"]]
        views.append(view)
    return views


def _flames(outcome: Outcome) -> dict[str, Any] | None:
    """Return the flame graphs of a run, None where none were asked for."""
    from tracer.reports.page.flames import Stacked, flames_of, no_flames

    if outcome.stacked is None:
        return None
    sides = [
        Stacked(measurement.name, taken)
        for measurement, taken in zip(outcome.measurements, outcome.stacked.taken, strict=False)
    ]
    if any(side.taken for side in sides):
        return flames_of(sides, _APART)
    return no_flames(outcome.stacked.failure or "No request could be armed: see the seams.")


def _flame_words(flame: Mapping[str, str]) -> str:
    words = ["--flame"]
    for variable, option in ((SOURCE, "--flame-source"), (INTERVAL, "--flame-interval")):
        words += [option, flame[variable]] if variable in flame else []
    return shlex.join(words)


def _remarks(experiment: Experiment, outcome: Outcome) -> Iterator[str]:
    if outcome.interrupted:
        yield f"interrupted: {outcome.rounds} of {experiment.rounds} rounds are complete"
    if outcome.stacked is not None and outcome.stacked.failure:
        yield outcome.stacked.failure
    if outcome.failure:
        yield f"{outcome.failure}: {outcome.rounds} of {experiment.rounds} rounds are complete"


def _load_words(load: LoadPlan) -> str:
    if load.rate:
        return f"{load.rate:g} requests a second"
    return f"concurrency {load.concurrency}"


def _render_beside(document: dict[str, Any], console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("", "p50 ms", "p99 ms", "untraced p50 ms", "hand-offs", "most time in"):
        table.add_column(title, justify="left" if title in {"", "most time in"} else "right")
    for one in document["configurations"]:
        largest = sorted(one["layers"], key=lambda layer: -(layer["share"] or 0))[:3]
        table.add_row(
            one["name"],
            _ms(one["latency_ns"], "p50"),
            _ms(one["latency_ns"], "p99"),
            _ms(one["untraced_latency_ns"], "p50"),
            f"{(one['handoffs'] or {}).get('per_request') or 0:.1f}",
            ", ".join(f"{item['layer']} {item['share'] or 0:.0%}" for item in largest),
        )
    console.print(table)


def _ms(figures: dict[str, Any] | None, name: str) -> str:
    value = (figures or {}).get(name)
    return "-" if value is None else f"{value / _NS_PER_MS:.2f}"
