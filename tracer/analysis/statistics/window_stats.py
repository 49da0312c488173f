"""What happened between two snapshots of a live agent: rates, percentiles, layers, by route."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.statistics.quantile import quantile_of
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tracer.model.layers import Layer

_COUNTED: Final = ("requests", "errors", "handoffs", "handoffs_after_response", "threads_started")
_KEY: Final = ("route", "interface", "server", "weight")


@dataclass(slots=True)
class Seen:
    """Durations by how many of them there were, their weights applied."""

    sum_ns: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, other: Mapping[str, Any], weight: float) -> None:
        """Add a spread of a snapshot, or with a negative weight take it away."""
        self.sum_ns += other["sum_ns"] * weight
        for ns, times in other["buckets"]:
            self.buckets[ns] += times * weight

    def merge(self, other: Seen) -> None:
        """Add another's."""
        self.sum_ns += other.sum_ns
        for ns, times in other.buckets.items():
            self.buckets[ns] += times

    def quantile(self, share: float) -> int:
        """Return the smallest value that `share` of them does not exceed, 0 of nothing."""
        weighed = sorted((ns, times) for ns, times in self.buckets.items() if times > 0)
        return quantile_of(weighed, share) or 0


@dataclass(slots=True)
class WindowStats:
    """Requests of one route, or of all, over `seconds`; counts are weighted."""

    route: str | None
    seconds: float
    requests: float = 0.0
    errors: float = 0.0
    handoffs: float = 0.0
    handoffs_after_response: float = 0.0
    threads_started: float = 0.0
    latency: Seen = field(default_factory=Seen)
    wake: Seen = field(default_factory=Seen)
    layers: dict[Layer, Seen] = field(default_factory=lambda: {one: Seen() for one in LAYERS})

    def add(self, entry: Mapping[str, Any], sign: int) -> None:
        """Add a route's entry of a snapshot, or take it away."""
        weight = entry["weight"] * sign
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + entry[name] * weight)
        self.latency.add(entry["latency_ns"], weight)
        self.wake.add(entry["wake_ns"], weight)
        for layer, seen in self.layers.items():
            seen.add(entry["layers"][layer], weight)

    def merge(self, other: WindowStats) -> None:
        """Add another route's."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.merge(other.latency)
        self.wake.merge(other.wake)
        for layer, seen in self.layers.items():
            seen.merge(other.layers[layer])

    def rate(self, count: float) -> float:
        """Return a count as a figure per second, 0 of no time."""
        return count / self.seconds if self.seconds > 0 else 0.0

    def each(self, total: float) -> float:
        """Return a total as a figure per request, 0 without any."""
        return total / self.requests if self.requests else 0.0

    def share(self, layer: Layer) -> float:
        """Return which part of the time a layer owns."""
        return self.layers[layer].sum_ns / self.latency.sum_ns if self.latency.sum_ns else 0.0


def window_stats(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[WindowStats]:
    """Return what each route had since `before`, since the recording began without it.

    A recording that was ended and followed by another began anew; so did its counts.
    """
    seconds = (now["at_ns"] - before["at_ns"]) / 1e9 if before else 0.0
    earlier = {_key(entry): entry for entry in before["routes"]} if before else {}
    found: defaultdict[str | None, list[tuple[Mapping[str, Any], int]]] = defaultdict(list)
    for entry in now["routes"]:
        was = earlier.get(_key(entry))
        found[entry["route"]].append((entry, 1))
        if was is not None and was["requests"] <= entry["requests"]:
            found[entry["route"]].append((was, -1))
    return [
        one
        for route, entries in found.items()
        if (one := _route(route, seconds, entries)).requests > 0
    ]


def together(routes: Iterable[WindowStats], seconds: float) -> WindowStats:
    """Return all routes as one."""
    whole = WindowStats(None, seconds)
    for one in routes:
        whole.merge(one)
    return whole


def _route(
    route: str | None, seconds: float, entries: Iterable[tuple[Mapping[str, Any], int]]
) -> WindowStats:
    found = WindowStats(route, seconds)
    for entry, sign in entries:
        found.add(entry, sign)
    return found


def _key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in _KEY)
