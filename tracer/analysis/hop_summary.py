"""What hand-offs cost: how many a request asks for, at which sites, in which phases."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracer.analysis import figures
from tracer.layers import HOP_PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracer.analysis.request import Hop, Request, Segment

TO_THREAD = "to_thread"
TO_LOOP = "to_loop"


@dataclass(slots=True)
class Values:
    """Weighted values of one thing, gathered over requests."""

    values: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, value: float, weight: float) -> None:
        """Take one more value."""
        self.values.append(value)
        self.weights.append(weight)

    def quantile(self, share: float) -> int | None:
        """Return a quantile, None where nothing was observed."""
        return figures.quantile(self.values, self.weights, share) if self.values else None


def cost_ns(hop: Hop) -> int:
    """Return what a hop took beyond its work and beyond what the loop owned of it."""
    phases = sum(ns or 0 for name, ns in hop.phases.items() if name != "run")
    return max(0, phases - hop.event_loop_ns)


def summarise_handoffs(requests: Sequence[Request]) -> dict[str, Any]:
    """Return the contract's `handoffs` of one configuration."""
    total = sum(request.weight for request in requests)

    def per_request(direction: str, *, after: bool) -> float:
        found = sum(
            request.weight
            for request in requests
            for hop in request.hops
            if hop.direction == direction and hop.after_response is after
        )
        return figures.ratio(found, total)

    started = sum(request.weight * request.threads_started for request in requests)
    after = sum(request.weight * request.threads_started_after_response for request in requests)
    return {
        "per_request": per_request(TO_THREAD, after=False),
        "to_loop_per_request": per_request(TO_LOOP, after=False),
        "after_response_per_request": per_request(TO_THREAD, after=True),
        "threads_started_per_request": figures.ratio(started, total),
        "threads_started_after_response_per_request": figures.ratio(after, total),
        "phases": _phases(requests),
        "sites": _sites(requests, total, after=False),
        "after_response_sites": _sites(requests, total, after=True),
    }


def _phases(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """Summarise the phases of the hops to a thread, each over the hops that show it."""
    seen: dict[str, Values] = {phase: Values() for phase in HOP_PHASES}
    for request in requests:
        for hop in request.hops:
            if hop.direction != TO_THREAD or hop.after_response:
                continue
            for phase, ns in hop.phases.items():
                if ns is not None:
                    seen[phase].add(ns, request.weight)
    return [
        {
            "phase": phase,
            "mean_ns": round(figures.mean(values.values, values.weights)),
            "p50_ns": values.quantile(0.5) or 0,
            "p99_ns": values.quantile(0.99) or 0,
        }
        for phase, values in seen.items()
    ]


@dataclass(slots=True)
class _Site:
    hops: float = 0
    started: float = 0
    wake: Values = field(default_factory=Values)
    cost: Values = field(default_factory=Values)

    def add(self, hop: Hop, weight: float) -> None:
        self.hops += weight
        self.started += weight * hop.thread_started
        self.cost.add(cost_ns(hop), weight)
        wake = hop.phases.get("wake")
        if wake is not None:
            self.wake.add(wake, weight)


def _sites(requests: Sequence[Request], total: float, *, after: bool) -> list[dict[str, Any]]:
    sites: dict[tuple[str, str], _Site] = defaultdict(_Site)
    owned: dict[str, float] = defaultdict(float)
    for request in requests:
        for hop in request.hops:
            if hop.after_response is after:
                sites[hop.site, hop.direction].add(hop, request.weight)
        for site, ns in _owned(request.after_response if after else request.segments):
            owned[site] += ns * request.weight
    both_ways: dict[str, float] = defaultdict(float)
    for (name, _), seen in sites.items():
        both_ways[name] += seen.hops
    entries = [
        {
            "site": name,
            "direction": direction,
            "per_request": figures.ratio(seen.hops, total),
            # A site that goes both ways shares what it owns by its counts.
            "mean_ns": round(
                figures.ratio(owned[name], total) * figures.ratio(seen.hops, both_ways[name])
            ),
            "p50_ns": seen.cost.quantile(0.5) or 0,
            "wake_p50_ns": seen.wake.quantile(0.5),
            "thread_started_share": figures.ratio(seen.started, seen.hops),
        }
        for (name, direction), seen in sites.items()
    ]
    return sorted(entries, key=lambda entry: (-int(entry["mean_ns"]), str(entry["site"])))


def _owned(segments: Iterable[Segment]) -> Iterable[tuple[str, int]]:
    for segment in segments:
        if segment.layer == "handoff" and segment.detail is not None:
            yield segment.detail, segment.end_ns - segment.start_ns
