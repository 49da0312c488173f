"""Two configurations or more side by side: which layer makes the difference, and how surely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer.analysis.statistics import figures
from tracer.analysis.statistics.bootstrap import (
    Resamples,
    entry,
    excludes_zero,
    in_nanoseconds,
    interval,
    ratio_interval,
)
from tracer.analysis.statistics.summary import seam_entry, summarise
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.statistics.measurement import Measurement

METRIC = "p50"


def compare(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Return environment, seams, summaries and each configuration against the first."""
    shared = _shared_environment(measurements)
    configurations = [summarise(measurement) for measurement in measurements]
    for summary, measurement in zip(configurations, measurements, strict=True):
        summary["environment"] = _differences(measurement.environment, shared)
    pairs = [
        _compare(
            (measurements[0], configurations[0]),
            (measurements[place], configurations[place]),
            place,
        )
        for place in range(1, len(measurements))
    ]
    return {
        "environment": shared,
        "seams": _seams(measurements),
        "configurations": configurations,
        "comparison": pairs[0] if len(pairs) == 1 else pairs,
    }


_Side = tuple["Measurement", dict[str, Any]]


def _compare(side_a: _Side, side_b: _Side, place: int) -> dict[str, Any]:
    (first, a), (second, b) = side_a, side_b
    resamples_a, resamples_b = Resamples(first, 0), Resamples(second, place)
    rounds = (resamples_a.count, resamples_b.count)
    medians_a, medians_b = resamples_a.medians(), resamples_b.medians()
    before, after = a["latency_ns"][METRIC], b["latency_ns"][METRIC]
    ratio = figures.finite(after / before) if before else None
    return {
        "a": first.name,
        "b": second.name,
        "metric": METRIC,
        "rounds": list(rounds),
        "latency_ratio": entry(ratio, ratio_interval(ratio or 0, medians_b, medians_a, *rounds)),
        "latency_delta_ns": entry(
            after - before, in_nanoseconds(interval(after - before, medians_b - medians_a, *rounds))
        ),
        "untraced_latency_ratio": _untraced(side_a, side_b, place),
        **_layers(side_a, side_b, (resamples_a, resamples_b)),
    }


def _layers(side_a: _Side, side_b: _Side, resamples: tuple[Resamples, Resamples]) -> dict[str, Any]:
    """Return the difference of every layer and of their sum, the mean latency."""
    rounds = (resamples[0].count, resamples[1].count)
    moves = resamples[1].layer_means() - resamples[0].layer_means()
    deltas = [
        there["mean_ns"] - here["mean_ns"]
        for here, there in zip(side_a[1]["layers"], side_b[1]["layers"], strict=True)
    ]
    total, whole = sum(deltas), in_nanoseconds(interval(sum(deltas), moves.sum(axis=1), *rounds))
    # A part of a difference that may be none at all means nothing.
    parts = bool(total) and excludes_zero(whole)
    return {
        "mean_latency_delta_ns": entry(total, whole),
        "layers": [
            {
                "layer": name,
                "delta_ns": delta,
                "ci95": in_nanoseconds(interval(delta, moves[:, column], *rounds)),
                "share_of_delta": delta / total if parts else None,
            }
            for column, (name, delta) in enumerate(zip(LAYERS, deltas, strict=True))
        ],
    }


def _untraced(side_a: _Side, side_b: _Side, place: int) -> dict[str, Any] | None:
    """Return the ratio of the control rounds' medians: what it is without our eyes on it."""
    before, after = side_a[1]["untraced_latency_ns"], side_b[1]["untraced_latency_ns"]
    if not before or not after or not before[METRIC]:
        return None
    a, b = Resamples(side_a[0], 0, traced=False), Resamples(side_b[0], place, traced=False)
    ratio = after[METRIC] / before[METRIC]
    return entry(ratio, ratio_interval(ratio, b.medians(), a.medians(), a.count, b.count))


def _shared_environment(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Return the first one's environment, with the servers of all."""
    shared = dict(measurements[0].environment) if measurements else {}
    servers: dict[str, Any] = {}
    for measurement in reversed(measurements):
        servers.update(measurement.environment.get("servers") or {})
    if servers:
        shared["servers"] = servers
    return shared


def _differences(environment: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    differs = {}
    for name, value in environment.items():
        there = shared.get(name)
        if name == "servers" and isinstance(value, dict) and isinstance(there, dict):
            value = {key: item for key, item in value.items() if there.get(key) != item}  # noqa: PLW2901
            there = {}
        if value != there:
            differs[name] = value
    return differs


def _seams(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return each seam once a status, with the configurations that have it so."""
    found: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    for measurement in measurements:
        for seam in measurement.seams:
            key = (seam.seam, seam.status, seam.reason)
            one = found.setdefault(key, {**seam_entry(seam), "configurations": []})
            one["configurations"].append(measurement.name)
    return list(found.values())
