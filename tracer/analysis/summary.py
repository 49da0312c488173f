"""What one configuration's requests say together: latencies, layers, details, hand-offs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tracer.analysis import figures
from tracer.analysis.hop_summary import summarise_handoffs
from tracer.layers import LAYERS, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracer.analysis.measurement import Measurement, Round, SeamStatus
    from tracer.analysis.request import Request
    from tracer.layers import Layer

REPORT_SCHEMA = "tracer.report/1"
SERVER_ERROR = 500


def summarise(measurement: Measurement) -> dict[str, Any]:
    """Return one entry of the contract's `configurations`."""
    requests = explained_requests(measurement)
    traced = [one for one in measurement.rounds if one.traced]
    control = [ns for one in measurement.rounds if not one.traced for ns in one.latencies_ns]
    latency = figures.latency(*_latencies(traced))
    untraced = figures.latency(control) if control else None
    floor = measurement.network_floor_ns
    return {
        "name": measurement.name,
        "command": measurement.command,
        "environment": {},
        "requests": len(measurement.requests),
        "requests_weighted": sum(request.weight for request in measurement.requests),
        "errors": _errors(measurement),
        "dropped_timelines": measurement.dropped_timelines,
        "rounds": {"traced": len(traced), "control": len(measurement.rounds) - len(traced)},
        "latency_ns": latency,
        "untraced_latency_ns": untraced,
        "tracing_moved_median": moved(latency["p50"], untraced["p50"]) if untraced else None,
        "network_floor_ns": figures.latency(floor) if floor else None,
        "layers": layers_of(requests),
        "details": _details(requests),
        "handoffs": summarise_handoffs(requests),
        "connections_opened_per_request": _per_request(requests, "connections_opened"),
        "after_response_ns": round(_per_request(requests, "after_response_ns")),
        "unattributed_share": _unattributed_share(requests),
        "routes": _routes(requests),
        "outcomes": _counts(measurement.requests, "outcome"),
        "statuses": _counts(measurement.requests, "status"),
        "notes": list(measurement.notes),
    }


def report_document(measurement: Measurement) -> dict[str, Any]:
    """Return the contract's `tracer.report/1` of one configuration."""
    from tracer.analysis.advice import findings

    return {
        "schema": REPORT_SCHEMA,
        "environment": dict(measurement.environment),
        "seams": [seam_entry(seam) for seam in measurement.seams],
        "configurations": [summarise(measurement)],
        "findings": findings([measurement]),
    }


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


def layers_of(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """Return all layers in their order; their means sum to the mean of the windows."""
    weights = [request.weight for request in requests]
    values = {name: [request.layers.get(name, 0) for request in requests] for name in LAYERS}
    means = [figures.mean(values[name], weights) for name in LAYERS]
    whole = figures.apportion(means, round(sum(means)))
    return [
        {
            "layer": name,
            "mean_ns": rounded,
            "p50_ns": figures.quantile(values[name], weights, 0.5),
            "share": figures.ratio(exact, sum(means)),
        }
        for name, rounded, exact in zip(LAYERS, whole, means, strict=True)
    ]


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


def _errors(measurement: Measurement) -> int:
    """Count errors: the client's where it drove the load, else the server's own."""
    total = 0.0
    for one in measurement.rounds:
        driven = one.latencies_ns or one.errors or not one.traced
        seen = one.errors if driven else sum(r.weight for r in one.requests if _error(r))
        total += seen
    return round(total)


def _error(request: Request) -> bool:
    return request.outcome == "error" or (request.status or 0) >= SERVER_ERROR


def _per_request(requests: Sequence[Request], name: str) -> float:
    return figures.mean([getattr(r, name) for r in requests], [r.weight for r in requests])


def _counts(requests: Iterable[Request], name: str) -> dict[str, float]:
    seen: dict[str, float] = defaultdict(float)
    for request in requests:
        seen[str(getattr(request, name))] += request.weight
    return dict(sorted(seen.items()))


def _unattributed_share(requests: Sequence[Request]) -> float:
    unknown = _per_request(requests, "duration_ns")
    found = figures.mean(
        [request.layers.get("unattributed", 0) for request in requests],
        [request.weight for request in requests],
    )
    return figures.ratio(found, unknown)


_Key = tuple["Layer", str | None, str | None, str | None]


def _details(requests: Sequence[Request]) -> list[dict[str, Any]]:
    spent: dict[_Key, float] = defaultdict(float)
    times: dict[_Key, float] = defaultdict(float)
    for request in requests:
        before: _Key | None = None
        weight = request.weight
        for one in request.segments:
            key = (one.layer, one.detail, one.part, one.phase)
            spent[key] += (one.end_ns - one.start_ns) * weight
            if key != before:
                times[key] += weight
            before = key
    total = sum(request.weight for request in requests)
    ordered = sorted(spent, key=lambda key: (LAYERS.index(key[0]), -spent[key]))
    return [
        {
            **Owner(*key)._asdict(),
            "mean_ns": round(figures.ratio(spent[key], total)),
            "per_request": figures.ratio(times[key], total),
        }
        for key in ordered
    ]


def _routes(requests: Sequence[Request]) -> list[dict[str, Any]]:
    by_route: dict[str | None, list[Request]] = defaultdict(list)
    for request in requests:
        by_route[request.route].append(request)
    entries: list[dict[str, Any]] = [
        {
            "route": route,
            "requests": len(group),
            "latency_ns": figures.latency(
                [request.duration_ns for request in group], [request.weight for request in group]
            ),
            "layers": {entry["layer"]: entry["mean_ns"] for entry in layers_of(group)},
        }
        for route, group in by_route.items()
    ]
    return sorted(entries, key=lambda entry: -int(entry["requests"]))
