"""What the page shows of a report or a comparison: the contract's document and what lies beyond."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.findings.advice import OBSERVER_FINDING
from tracer.analysis.statistics.bootstrap import Resamples, in_nanoseconds, interval
from tracer.analysis.statistics.curves import histogram, percentile_curve
from tracer.analysis.statistics.figures import ratio
from tracer.analysis.statistics.overview import Overview
from tracer.analysis.statistics.spread import quantile, weighed
from tracer.analysis.statistics.summary import explained_requests, median_request, tallies_of
from tracer.model.layers import LAYERS
from tracer.reports.answer import (
    certainty_sentence,
    comparison_sentence,
    report_sentence,
    sampling_sentences,
)
from tracer.reports.page.flames import no_flames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.statistics.measurement import Measurement
    from tracer.analysis.statistics.tally import Tallies

    Document = dict[str, Any]
    Fetch = Callable[[Sequence[int]], Iterator[Request]]

REQUESTS: Final = 60
SEGMENTS: Final = 20_000
_PERCENTILES: Final = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99, "max_ns": 1.0}


@dataclass(frozen=True, slots=True)
class Side:
    """One configuration: what was measured, all its requests at a glance, and some in full.

    `picked` names requests by what they stand for, `median`, `p99`, `slowest` and, where
    one was asked for, `wanted`.
    """

    measurement: Measurement
    overview: Overview
    requests: tuple[Request, ...]
    picked: Mapping[str, str]


def pick(  # noqa: PLR0913 - each says what to pick from or how much
    measurement: Measurement,
    overview: Overview,
    fetch: Fetch,
    *,
    median_ns: int,
    p99_ns: int,
    segments: int = SEGMENTS,
    wanted: Request | None = None,
) -> Side:
    """Choose which requests are shown in full, and fetch them.

    Those that stand for something are shown however large they are; of the others as
    many as fit into so many `segments`.
    """
    named = {
        "median": overview.near(median_ns),
        "p99": overview.near(p99_ns),
        "slowest": overview.slowest(),
    }
    first = list(dict.fromkeys(number for number in named.values() if number is not None))
    others = [one for one in overview.spread(REQUESTS) if one not in first]
    found: dict[int, Request] = {}
    left = segments
    for number, request in zip([*first, *others], fetch([*first, *others]), strict=False):
        size = len(request.segments) + len(request.after_response) + len(request.overlapped)
        left -= size
        if number in first or left > 0:
            found[number] = request
        if left <= 0 and len(found) >= len(first):
            break
    picked = {
        name: found[number].request_id
        for name, number in named.items()
        if number is not None and number in found
    }
    requests = list(found.values())
    if wanted is not None:
        picked = {"wanted": wanted.request_id, **picked}
        requests = [*(one for one in requests if one.request_id != wanted.request_id), wanted]
    ordered = tuple(sorted(requests, key=lambda one: one.duration_ns))
    return Side(measurement, overview, ordered, picked)


def side_of(measurement: Measurement, entry: Document, segments: int = SEGMENTS) -> Side:
    """Return a side whose requests are all in memory."""
    requests = explained_requests(measurement)
    median = median_request(requests)
    return pick(
        measurement,
        Overview.of_requests(requests),
        lambda numbers: (requests[number] for number in numbers),
        median_ns=median.duration_ns if median else 0,
        p99_ns=entry["latency_ns"]["p99"],
        segments=segments,
    )


def view_of(
    document: Document, sides: Sequence[Side], name: str = "", flames: Document | None = None
) -> Document:
    """Return one view of the page: what is said of it, the document, and each side's rest.

    `document` is the contract's, unchanged; durations beside it are nanoseconds too.
    `flames` are what `flames_of` says of requests with stacks, if there are any.
    """
    entries = document["configurations"]
    return {
        "name": name,
        "said": _said(document, entries),
        "document": document,
        "sides": [_beyond(side, place) for place, side in enumerate(sides)],
        "flames": flames or no_flames(_how_to_take(document)),
        "repeat": repeat_of(document),
        "remarks": [
            f"{entry['name']}: {said}" for entry in entries for said in sampling_sentences(entry)
        ],
    }


def _how_to_take(document: Document) -> str:
    command = "tracer run --flame all -- SERVER COMMAND"
    if document.get("load") is not None:
        command = "tracer compare --flame"
    return f"No request has Python stacks: `{command}` takes them."


def _said(document: Document, entries: Sequence[Document]) -> Document:
    by_name = {entry["name"]: entry for entry in entries}
    pairs = pairs_of(document)
    answers = [comparison_sentence(one, by_name[one["a"]], by_name[one["b"]]) for one in pairs]
    return {
        "doubts": [one for one in document["findings"] if one["id"] == OBSERVER_FINDING],
        "answers": answers or [report_sentence(entry) for entry in entries],
        "certainty": [certainty_sentence(one) for one in pairs],
    }


def pairs_of(document: Document) -> list[Document]:
    """Return the comparisons of a document: none, one or several."""
    found = document.get("comparison") or []
    return found if isinstance(found, list) else [found]


def repeat_of(document: Document) -> list[str]:
    """Return the commands that measure the same again, as far as the document tells."""
    load = document.get("load")
    if load is None:
        return [
            f"tracer run --record {shlex.quote(entry['name'] + '.tracer')} -- {entry['command']}"
            for entry in document["configurations"]
            if entry["command"]
        ]
    words = ["tracer compare"]
    words += [
        f"--config {shlex.quote(entry['name'] + '=' + entry['command'])}"
        for entry in document["configurations"]
    ]
    words += [f"--path {shlex.quote(path)}" for path in load["paths"]]
    if load["method"] not in {None, "GET"}:
        words.append(f"--method {load['method']}")
    words += [f"--rounds {load['rounds']}", f"--requests {load['requests_per_round']}"]
    if load["rate"]:
        words.append(f"--rate {load['rate']:g}")
    else:
        words.append(f"--concurrency {load['concurrency']}")
    words.append(f"--connection {load['connection']}")
    return [" ".join(words)]


def _beyond(side: Side, place: int) -> Document:
    """Return what the page shows of a side beyond its entry in the document."""
    measurement = side.measurement
    tallies = tallies_of(measurement)[1]
    wakes = weighed((one.wakes, key.weight) for key, one in tallies.items())
    return {
        "name": measurement.name,
        **_intervals(measurement, place),
        "layer_percentiles": _layer_percentiles(tallies),
        "curves": _curves(measurement, tallies),
        "wake_histogram": histogram(wakes),
        "wake_none": _none(wakes),
        "points": side.overview.points(),
        "picked": dict(side.picked),
        "requests": side.requests,
    }


def _none(seen: Sequence[tuple[int, float]]) -> float:
    """Return the share of what took no time at all."""
    return ratio(sum(weight for ns, weight in seen if ns <= 0), sum(weight for _, weight in seen))


def _intervals(measurement: Measurement, place: int) -> Document:
    """Return 95 % intervals of each layer's mean and of their sum, null with too few rounds."""
    drawn = Resamples(measurement, place)
    means = drawn.layer_means()
    if not drawn.count:
        return {"layers_ci95": None, "mean_ci95": None}
    exact = means.mean(axis=0)
    columns = [
        in_nanoseconds(interval(float(exact[column]), means[:, column], drawn.count))
        for column in range(len(LAYERS))
    ]
    whole = in_nanoseconds(interval(float(exact.sum()), means.sum(axis=1), drawn.count))
    return {"layers_ci95": None if whole is None else columns, "mean_ci95": whole}


def _layer_percentiles(tallies: Tallies) -> list[Document]:
    found = []
    for place, layer in enumerate(LAYERS):
        spreads = [(one.layers[place], key.weight) for key, one in tallies.items()]
        figures = {name: quantile(spreads, share) or 0 for name, share in _PERCENTILES.items()}
        found.append({"layer": layer, **figures})
    return found


def _curves(measurement: Measurement, tallies: Tallies) -> Document:
    """Return percentile curves: traced, untraced where there were controls, and the floor."""
    traced = _client_latencies(measurement, traced=True)
    windows = weighed((one.latency, key.weight) for key, one in tallies.items())
    return {
        "traced": percentile_curve(traced or windows),
        "untraced": percentile_curve(_client_latencies(measurement, traced=False)),
        "floor": percentile_curve([(ns, 1.0) for ns in sorted(measurement.network_floor_ns)]),
    }


def _client_latencies(measurement: Measurement, *, traced: bool) -> list[tuple[int, float]]:
    rounds = [one for one in measurement.rounds if one.traced is traced]
    return [(ns, 1.0) for ns in sorted(ns for one in rounds for ns in one.latencies_ns)]
