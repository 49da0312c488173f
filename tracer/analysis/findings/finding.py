"""What a finding is, and the evidence one configuration offers for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tracer.analysis.attribution.request import TO_LOOP, TO_THREAD
from tracer.analysis.statistics import figures
from tracer.analysis.statistics.summary import summarise, tallies_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracer.analysis.statistics.measurement import Measurement
    from tracer.analysis.statistics.spread import Spread
    from tracer.analysis.statistics.tally import Tallies, Tally

Finding = dict[str, Any]

# What is worth a person's attention, as a part of the mean latency.
WORTH = 0.02


@dataclass(frozen=True)
class Case:
    """One configuration with its summary: where findings look."""

    measurement: Measurement
    summary: dict[str, Any]

    @classmethod
    def of(cls, measurement: Measurement) -> Case:
        """Summarise and be a case."""
        return cls(measurement, summarise(measurement))

    @cached_property
    def tallies(self) -> Tallies:
        """What the requests come to that the layers explain."""
        return tallies_of(self.measurement)[1]

    @cached_property
    def weight(self) -> float:
        """How many requests these stand for."""
        return sum(one.requests * key.weight for key, one in self.tallies.items())

    @cached_property
    def mean_ns(self) -> int:
        """The mean latency that the layers sum to."""
        return sum(entry["mean_ns"] for entry in self.summary["layers"])

    @property
    def p50_ns(self) -> int:
        """The median latency."""
        return int(self.summary["latency_ns"]["p50"])

    @property
    def handoffs(self) -> dict[str, Any]:
        """The hand-offs of the summary."""
        return dict(self.summary["handoffs"])

    @cached_property
    def interface(self) -> str:
        """`asgi` or `wsgi`, whichever most requests came by; empty without requests."""
        seen: dict[str, float] = {}
        for key, one in self.tallies.items():
            seen[key.interface] = seen.get(key.interface, 0) + one.requests * key.weight
        return max(seen, key=lambda name: seen[name]) if seen else ""

    def sites(self, direction: str) -> list[dict[str, Any]]:
        """Return the hand-off sites of the window, dearest first."""
        return [one for one in self.handoffs["sites"] if one["direction"] == direction]

    @property
    def to_thread(self) -> list[dict[str, Any]]:
        """Sites that hand work to a thread."""
        return self.sites(TO_THREAD)

    @property
    def to_loop(self) -> list[dict[str, Any]]:
        """Sites that hand work back to an event loop."""
        return self.sites(TO_LOOP)

    def spreads(self, what: Callable[[Tally], Spread]) -> list[tuple[Spread, float]]:
        """Return the spreads of one thing, each with the weight of one of its values."""
        return [(what(one), key.weight) for key, one in self.tallies.items()]

    def total(self, what: Callable[[Tally], float]) -> float:
        """Return a weighted sum over all requests."""
        return sum(what(one) * key.weight for key, one in self.tallies.items())

    def details(self, layer: str) -> list[dict[str, Any]]:
        """Return what is known within a layer."""
        return [one for one in self.summary["details"] if one["layer"] == layer]

    def matters(self, ns: float) -> bool:
        """Tell whether a saving is worth a person's attention."""
        return bool(ns > 0) and ns >= WORTH * self.mean_ns

    def per_request(self, total: float) -> float:
        """Return a weighted total as a figure per request."""
        return figures.ratio(total, self.weight)

    def finding(
        self, name: str, title: str, advice: str, saving_ns: float = 0, **evidence: Any
    ) -> Finding:
        """Return a finding; a saving that can't be derived from evidence is 0, and said so."""
        return {
            "id": name,
            "title": title,
            "evidence": {"configuration": self.measurement.name, **evidence},
            "advice": advice,
            "predicted_saving_ns": round(saving_ns),
            "prediction": "estimate" if saving_ns > 0 else "none",
        }


def total_ns(sites: Sequence[dict[str, Any]]) -> int:
    """Return what sites cost together per request."""
    return sum(site["mean_ns"] for site in sites)


def total_count(sites: Sequence[dict[str, Any]]) -> float:
    """Return how often sites are passed per request."""
    return float(sum(site["per_request"] for site in sites))
