"""What one configuration's requests say together: latencies, layers, details, hand-offs."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tracer.analysis.statistics import figures
from tracer.analysis.statistics.hop_summary import summarise_handoffs
from tracer.analysis.statistics.spread import quantile, weighed
from tracer.analysis.statistics.tally import SERVER_ERROR, tally
from tracer.model.frames import COUNTERS
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.statistics.measurement import Measurement, Round, SeamStatus
    from tracer.analysis.statistics.tally import Key, Tallies, Tally
    from tracer.model.layers import Owner

_PLACES = range(len(LAYERS))


def summarise(measurement: Measurement) -> dict[str, Any]:
    """Return one entry of the contract's `configurations`."""
    every, explains = tallies_of(measurement)
    traced = [one for one in measurement.rounds if one.traced]
    control = [ns for one in measurement.rounds if not one.traced for ns in one.latencies_ns]
    latency = _latency(traced, explains)
    untraced = figures.latency(control) if control else None
    floor = measurement.network_floor_ns
    return {
        "name": measurement.name,
        "command": measurement.command,
        "environment": {},
        "requests": sum(one.requests for one in every.values()),
        "requests_weighted": _weight(every),
        "errors": _errors(measurement, every),
        "dropped_timelines": measurement.dropped_timelines,
        "requests_seen": _seen(measurement),
        "requests_of_unknown_weight": sum(one.unknown for one in every.values()),
        "rounds": {"traced": len(traced), "control": len(measurement.rounds) - len(traced)},
        "latency_ns": latency,
        "untraced_latency_ns": untraced,
        "tracing_moved_median": moved(latency["p50"], untraced["p50"]) if untraced else None,
        "network_floor_ns": figures.latency(floor) if floor else None,
        "layers": layers_of(explains),
        "details": _details(explains),
        "handoffs": summarise_handoffs(explains),
        "connections_opened_per_request": per_request(explains, lambda one: one.connections),
        "after_response_ns": round(per_request(explains, lambda one: one.after_ns)),
        "unattributed_share": _unattributed_share(explains),
        "routes": _routes(explains),
        "outcomes": _counts(every, lambda one: one.outcomes),
        "statuses": _counts(every, lambda one: one.statuses),
        "counts": dict(measurement.counts),
        "notes": list(measurement.notes),
    }


def _seen(measurement: Measurement) -> dict[str, int] | None:
    """Return how many requests workers saw, by `tracer.model.frames.COUNTERS`; None uncounted."""
    counts = measurement.counts
    return {name: int(counts[name] or 0) for name in COUNTERS if name in counts} or None


def seam_entry(seam: SeamStatus) -> dict[str, Any]:
    """Return the contract's words for one seam."""
    return {"seam": seam.seam, "status": seam.status, "reason": seam.reason}


def moved(traced_ns: int, untraced_ns: int) -> float | None:
    """Return by which part of itself the median moved when tracing was on."""
    return figures.finite(traced_ns / untraced_ns - 1) if untraced_ns else None


def failed(request: Request) -> bool:
    """Tell whether the client got an error of the server, or no answer."""
    return request.status is None or request.status >= SERVER_ERROR


def explained(one: Round) -> tuple[Request, ...]:
    """Return the requests of a round which its latencies are about.

    Our client keeps failed requests out of its latencies; layers must explain the
    same requests, unless everything failed or failures were asked for.
    """
    if not (one.traced and one.latencies_ns and one.errors):
        return one.requests if one.traced else ()
    answered = tuple(request for request in one.requests if not failed(request))
    return answered or one.requests


def explained_requests(measurement: Measurement) -> list[Request]:
    """Return all requests whose layers explain the latency of the summary."""
    return [request for one in measurement.rounds for request in explained(one)]


def median_request(requests: Sequence[Request]) -> Request | None:
    """Return the request that stands in the middle by duration, half of the weight below it."""
    ordered = sorted(requests, key=lambda request: request.duration_ns)
    half, reached = sum(request.weight for request in ordered) / 2, 0.0
    for request in ordered:
        reached += request.weight
        if reached >= half:
            return request
    return None


def tallies_of(measurement: Measurement) -> tuple[Tallies, Tallies]:
    """Return what all requests come to, and what those do that explain the latency."""
    if measurement.tallies is not None:
        return measurement.tallies, measurement.tallies
    explains = tally(explained_requests(measurement))
    whole = all(len(explained(one)) == len(one.requests) for one in measurement.rounds)
    return explains if whole else tally(measurement.requests), explains


def layers_of(tallies: Mapping[Key, Tally]) -> list[dict[str, Any]]:
    """Return all layers in their order; their means sum to the mean of the windows."""
    spreads = [[(one.layers[i], k.weight) for k, one in tallies.items()] for i in _PLACES]
    total = _weight(tallies)
    means = [
        figures.ratio(math.fsum(spread.total_ns * weight for spread, weight in layer), total)
        for layer in spreads
    ]
    whole = figures.apportion(means, round(sum(means)))
    return [
        {
            "layer": name,
            "mean_ns": rounded,
            "p50_ns": quantile(layer, 0.5) or 0,
            "share": figures.ratio(exact, sum(means)),
        }
        for name, rounded, exact, layer in zip(LAYERS, whole, means, spreads, strict=True)
    ]


def per_request(tallies: Mapping[Key, Tally], what: Callable[[Tally], float]) -> float:
    """Return the weighted mean of a sum that tallies keep."""
    found = math.fsum(what(one) * key.weight for key, one in tallies.items())
    return figures.ratio(found, _weight(tallies))


def _weight(tallies: Mapping[Key, Tally]) -> float:
    return math.fsum(one.requests * key.weight for key, one in tallies.items())


def _latency(rounds: Sequence[Round], tallies: Tallies) -> dict[str, int]:
    """Summarise the client's latencies where our client drove the load, else the windows."""
    if any(one.latencies_ns for one in rounds):
        return figures.latency(*_latencies(rounds))
    return _windows(tallies)


def _windows(tallies: Mapping[Key, Tally]) -> dict[str, int]:
    seen = weighed((one.latency, key.weight) for key, one in tallies.items())
    found = figures.latency([value for value, _ in seen], [weight for _, weight in seen])
    return {**found, "mean": round(per_request(tallies, lambda one: one.latency.total_ns))}


def _latencies(rounds: Iterable[Round]) -> tuple[list[int], list[float]]:
    values: list[int] = []
    weights: list[float] = []
    for one in rounds:
        if one.latencies_ns:
            values.extend(one.latencies_ns)
            weights.extend([1.0] * len(one.latencies_ns))
        else:
            values.extend(request.duration_ns for request in one.requests)
            weights.extend(request.weight for request in one.requests)
    return values, weights


def _errors(measurement: Measurement, tallies: Tallies) -> int:
    """Count errors: the client's where it drove the load, else the server's own."""
    if measurement.tallies is not None:
        return round(sum(one.errors * key.weight for key, one in tallies.items()))
    total = 0.0
    for one in measurement.rounds:
        driven = one.latencies_ns or one.errors or not one.traced
        seen = one.errors if driven else sum(r.weight for r in one.requests if _error(r))
        total += seen
    return round(total)


def _error(request: Request) -> bool:
    return request.outcome == "error" or (request.status or 0) >= SERVER_ERROR


def _counts(
    tallies: Mapping[Key, Tally], what: Callable[[Tally], Mapping[str, int]]
) -> dict[str, float]:
    seen: dict[str, float] = defaultdict(float)
    for key, one in tallies.items():
        for name, times in what(one).items():
            seen[name] += times * key.weight
    return dict(sorted(seen.items()))


def _unattributed_share(tallies: Mapping[Key, Tally]) -> float:
    place = LAYERS.index("unattributed")
    unknown = per_request(tallies, lambda one: one.layers[place].total_ns)
    return figures.ratio(unknown, per_request(tallies, lambda one: one.latency.total_ns))


def _details(tallies: Mapping[Key, Tally]) -> list[dict[str, Any]]:
    spent: dict[Owner, float] = defaultdict(float)
    times: dict[Owner, float] = defaultdict(float)
    for key, one in tallies.items():
        for owner, (ns, stretches) in one.details.items():
            spent[owner] += ns * key.weight
            times[owner] += stretches * key.weight
    total = _weight(tallies)
    ordered = sorted(spent, key=lambda owner: (LAYERS.index(owner.layer), -spent[owner]))
    return [
        {
            **owner._asdict(),
            "mean_ns": round(figures.ratio(spent[owner], total)),
            "per_request": figures.ratio(times[owner], total),
        }
        for owner in ordered
    ]


def _routes(tallies: Mapping[Key, Tally]) -> list[dict[str, Any]]:
    by_route: dict[str | None, dict[Key, Tally]] = defaultdict(dict)
    for key, one in tallies.items():
        by_route[key.route][key] = one
    entries: list[dict[str, Any]] = [
        {
            "route": route,
            "requests": sum(one.requests for one in group.values()),
            "requests_weighted": _weight(group),
            "latency_ns": _windows(group),
            "layers": {entry["layer"]: entry["mean_ns"] for entry in layers_of(group)},
        }
        for route, group in by_route.items()
    ]
    return sorted(entries, key=lambda entry: -int(entry["requests"]))
