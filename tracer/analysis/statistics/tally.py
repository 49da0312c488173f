"""What many requests come to, in a form that can be added up, merged and stored.

A tally counts requests of one route, interface, server and weight. All it holds are whole
numbers of requests and nanoseconds; weights are applied when it is read.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.attribution.request import TO_THREAD
from tracer.analysis.statistics.spread import COARSE_BITS, FINE_BITS, Buckets, Exact
from tracer.model.layers import HOP_PHASES, LAYERS, Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tracer.analysis.attribution.request import Handoff, Request, Segment
    from tracer.analysis.statistics.spread import Spread

SERVER_ERROR: Final = 500


class Key(NamedTuple):
    """Which requests a tally is of; `weight`: how many requests each of them stands for."""

    route: str | None
    interface: str
    server: str
    weight: float


class Site(NamedTuple):
    """Where a hand-off was asked for, and whether after the response."""

    name: str
    direction: str
    after_response: bool

    @property
    def counts(self) -> bool:
        """Whether its hand-offs are those that a request is said to have."""
        return self.direction == TO_THREAD and not self.after_response


@dataclass(slots=True)
class HandoffTally:
    """The hand-offs of one site. `queue_ns` is of those on the main track alone."""

    cost: Spread
    wake: Spread
    count: int = 0
    started: int = 0
    queue_ns: int = 0

    def add(self, handoff: Handoff) -> None:
        """Take one more hand-off."""
        self.count += 1
        self.started += handoff.thread_started
        self.cost.add(handoff.cost_ns)
        if (wake := handoff.phases.get("wake")) is not None:
            self.wake.add(wake)
        if handoff.counts and not handoff.overlapped:
            self.queue_ns += handoff.phases.get("queue") or 0


@dataclass(slots=True)
class Tally:
    """The requests of one key."""

    new: Callable[[int], Spread]
    latency: Spread
    layers: list[Spread]
    phases: list[Spread]
    cold: Spread
    warm: Spread
    wakes: Spread
    requests: int = 0
    errors: int = 0
    asking: int = 0
    unknown: int = 0
    after_ns: int = 0
    connections: int = 0
    threads: int = 0
    threads_after: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    details: dict[Owner, list[int]] = field(default_factory=dict)
    after: dict[Owner, int] = field(default_factory=dict)
    sites: dict[Site, HandoffTally] = field(default_factory=dict)

    def site(self, site: Site) -> HandoffTally:
        """Return the hand-offs of a site, to be added to."""
        found = self.sites.get(site)
        if found is None:
            found = self.sites[site] = HandoffTally(self.new(COARSE_BITS), self.new(COARSE_BITS))
        return found

    def detail(self, owner: Owner, ns: int, times: int) -> None:
        """Add what an owner took within windows, in how many stretches."""
        found = self.details.setdefault(owner, [0, 0])
        found[0] += ns
        found[1] += times

    def note(
        self, outcome: str, status: int | None, connections: int, *, queried: bool, weighed: bool
    ) -> None:
        """Count a request and what became of it; `weighed`: what it stands for is known."""
        self.requests += 1
        self.unknown += not weighed
        self.errors += outcome == "error" or (status or 0) >= SERVER_ERROR
        self.asking += bool(connections) or queried
        self.connections += connections
        self.outcomes[outcome] += 1
        self.statuses[str(status)] += 1

    def add(self, request: Request) -> None:
        """Take one more request."""
        queried = any(one.part == "query" for one in request.segments)
        self.note(
            request.outcome,
            request.status,
            request.connections_opened,
            queried=queried,
            weighed=request.weight_known,
        )
        self.after_ns += request.after_response_ns
        self.threads += request.threads_started
        self.threads_after += request.threads_started_after_response
        self.latency.add(request.duration_ns)
        for spread, layer in zip(self.layers, LAYERS, strict=True):
            spread.add(request.layers.get(layer, 0))
        self._segments(request.segments)
        for one in request.after_response:
            owner = Owner(one.layer, one.detail, one.part, one.phase)
            self.after[owner] = self.after.get(owner, 0) + one.end_ns - one.start_ns
        for handoff in request.hops:
            self._handoff(handoff)

    def _segments(self, segments: Iterable[Segment]) -> None:
        before: Owner | None = None
        for one in segments:
            owner = Owner(one.layer, one.detail, one.part, one.phase)
            self.detail(owner, one.end_ns - one.start_ns, owner != before)
            before = owner

    def _handoff(self, handoff: Handoff) -> None:
        self.site(site_of(handoff)).add(handoff)
        if not handoff.counts:
            return
        for spread, phase in zip(self.phases, HOP_PHASES, strict=True):
            if (value := handoff.phases.get(phase)) is not None:
                spread.add(value)
        if not handoff.overlapped:
            (self.cold if handoff.thread_started else self.warm).add(handoff.cost_ns)
            if (wake := handoff.phases.get("wake")) is not None:
                self.wakes.add(wake)


def site_of(handoff: Handoff) -> Site:
    """Return where a hand-off was asked for."""
    return Site(handoff.site, handoff.direction, handoff.after_response)


class Tallies(dict[Key, Tally]):
    """Tallies by key; `exact` ones keep every value, for a few thousand requests at most."""

    def __init__(self, *, exact: bool = False) -> None:
        """Begin empty."""
        super().__init__()
        self._new: Callable[[int], Spread] = _exact if exact else Buckets

    def __missing__(self, key: Key) -> Tally:
        """Begin a tally."""
        new = self._new
        several = functools.partial(new, COARSE_BITS)
        made = self[key] = Tally(
            new,
            new(FINE_BITS),
            [several() for _ in LAYERS],
            [several() for _ in HOP_PHASES],
            several(),
            several(),
            several(),
        )
        return made

    def add(self, request: Request) -> None:
        """Take one more request."""
        self[key_of(request.route, request.interface, request.server, request.weight)].add(request)


def _exact(_bits: int) -> Spread:
    return Exact()


def key_of(route: str | None, interface: str, server: str, weight: float) -> Key:
    """Return the key; a weight that is none stands for the request alone."""
    weighs = math.isfinite(weight) and weight > 0
    return Key(route, interface, server, float(weight) if weighs else 1.0)


def tally(requests: Iterable[Request]) -> Tallies:
    """Return the exact tallies of requests."""
    tallies = Tallies(exact=True)
    for request in requests:
        tallies.add(request)
    return tallies
