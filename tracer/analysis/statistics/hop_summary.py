"""What hand-offs cost: how many a request asks for, at which sites, in which phases."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracer.analysis.attribution.request import TO_LOOP, TO_THREAD
from tracer.analysis.statistics import figures
from tracer.analysis.statistics.spread import quantile
from tracer.model.layers import HOP_PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tracer.analysis.statistics.spread import Spread
    from tracer.analysis.statistics.tally import HandoffTally, Key, Tally

    Weighed = list[tuple[Spread, float]]


def summarise_handoffs(tallies: Mapping[Key, Tally]) -> dict[str, Any]:
    """Return the contract's `handoffs` of one configuration."""
    total = _sum(tallies, lambda one: one.requests)

    def per_request(direction: str, *, after: bool) -> float:
        found = _sum(
            tallies,
            lambda one: sum(
                seen.count
                for site, seen in one.sites.items()
                if site.direction == direction and site.after_response is after
            ),
        )
        return figures.ratio(found, total)

    started = _sum(tallies, lambda one: one.threads)
    after = _sum(tallies, lambda one: one.threads_after)
    return {
        "per_request": per_request(TO_THREAD, after=False),
        "to_loop_per_request": per_request(TO_LOOP, after=False),
        "after_response_per_request": per_request(TO_THREAD, after=True),
        "threads_started_per_request": figures.ratio(started, total),
        "threads_started_after_response_per_request": figures.ratio(after, total),
        "phases": _phases(tallies),
        "sites": _sites(tallies, total, after=False),
        "after_response_sites": _sites(tallies, total, after=True),
    }


def mean_of(spreads: Weighed) -> float:
    """Return the weighted mean of all values of spreads, 0 of nothing."""
    found = math.fsum(spread.total_ns * weight for spread, weight in spreads)
    return figures.ratio(found, math.fsum(spread.count * weight for spread, weight in spreads))


def _sum(tallies: Mapping[Key, Tally], what: Callable[[Tally], int]) -> float:
    return math.fsum(what(one) * key.weight for key, one in tallies.items())


def _phases(tallies: Mapping[Key, Tally]) -> list[dict[str, Any]]:
    """Summarise the phases of the hops to a thread, each over the hops that show it."""
    entries = []
    for place, phase in enumerate(HOP_PHASES):
        spreads: Weighed = [(one.phases[place], key.weight) for key, one in tallies.items()]
        entries.append(
            {
                "phase": phase,
                "mean_ns": round(mean_of(spreads)),
                "p50_ns": quantile(spreads, 0.5) or 0,
                "p99_ns": quantile(spreads, 0.99) or 0,
            }
        )
    return entries


@dataclass(slots=True)
class _Site:
    hops: float = 0
    started: float = 0
    wake: Weighed = field(default_factory=list)
    cost: Weighed = field(default_factory=list)

    def add(self, seen: HandoffTally, weight: float) -> None:
        self.hops += seen.count * weight
        self.started += seen.started * weight
        self.cost.append((seen.cost, weight))
        self.wake.append((seen.wake, weight))


def _sites(tallies: Mapping[Key, Tally], total: float, *, after: bool) -> list[dict[str, Any]]:
    sites: dict[tuple[str, str], _Site] = defaultdict(_Site)
    owned: dict[str, float] = defaultdict(float)
    for key, one in tallies.items():
        for site, seen in one.sites.items():
            if site.after_response is after:
                sites[site.name, site.direction].add(seen, key.weight)
        for name, ns in _owned(one, after=after):
            owned[name] += ns * key.weight
    both_ways: dict[str, float] = defaultdict(float)
    for (name, _), found in sites.items():
        both_ways[name] += found.hops
    entries = [
        {
            "site": name,
            "direction": direction,
            "per_request": figures.ratio(found.hops, total),
            # A site that goes both ways shares what it owns by its counts.
            "mean_ns": round(
                figures.ratio(owned[name], total) * figures.ratio(found.hops, both_ways[name])
            ),
            "p50_ns": quantile(found.cost, 0.5) or 0,
            "wake_p50_ns": quantile(found.wake, 0.5),
            "thread_started_share": figures.ratio(found.started, found.hops),
        }
        for (name, direction), found in sites.items()
    ]
    return sorted(entries, key=lambda entry: (-int(entry["mean_ns"]), str(entry["site"])))


def _owned(one: Tally, *, after: bool) -> Iterable[tuple[str, int]]:
    """Give what the layer `handoff` owns, by site."""
    spent = one.after if after else {owner: ns for owner, (ns, _) in one.details.items()}
    for owner, ns in spent.items():
        if owner.layer == "handoff" and owner.detail is not None:
            yield owner.detail, ns
