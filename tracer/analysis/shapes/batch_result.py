"""What many requests took, and how it is added to tallies."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tracer.analysis.statistics.spread import COARSE_BITS, FINE_BITS, Buckets, buckets_of
from tracer.analysis.statistics.tally import TO_THREAD
from tracer.model.layers import HOP_PHASES, LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.shapes.plan import InternTable
    from tracer.analysis.statistics.spread import Spread
    from tracer.analysis.statistics.tally import Key, Tallies, Tally

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_LAYERS: Final = len(LAYERS)
_WAKE: Final = HOP_PHASES.index("wake")
_QUEUE: Final = HOP_PHASES.index("queue")
_THREAD_STARTED, _OVERLAPPED = 0, 1


class Stretches(NamedTuple):
    """Segments of many requests, by request and time; `within` their windows."""

    request: Ints
    low: Ints
    high: Ints
    owner: Ints
    within: Flags
    runs: Flags


class Hops(NamedTuple):
    """Hand-offs of many requests; `phases` and `observed` have a row each."""

    request: Ints
    site: Ints
    flags: Flags
    phases: Ints
    observed: Flags
    cost: Ints


class Collected(NamedTuple):
    """A garbage collection that took time from an owner of request `request`."""

    request: int
    owner: int
    ns: int
    within: bool


class BatchResult:
    """What many requests took: row `n` of each array is the n-th of those told of."""

    def __init__(self, count: int, latency: Ints, after: Ints) -> None:
        """Begin with what needs no segment."""
        self.count = count
        self.latency, self.after = latency, after
        self.needs_fallback = np.zeros(count, bool)
        self.collected: list[Collected] = []
        self.layers: Ints = np.zeros((count, _LAYERS), np.int64)
        self.queried = np.zeros(count, bool)
        self.segments: Stretches
        self.hops: Hops

    def add_to(
        self, tallies: Tallies, members: Mapping[Key, Sequence[int]], book: InternTable
    ) -> None:
        """Add all that need no fallback; `members` are the places of each key's requests."""
        keys = list(members)
        key_of = np.full(self.count, -1, np.int64)
        for number, key in enumerate(keys):
            key_of[members[key]] = number
        latency_places = buckets_of(self.latency, FINE_BITS)
        layer_places = buckets_of(self.layers, COARSE_BITS)
        for key in keys:
            tally, mine = tallies[key], np.array(members[key], np.int64)
            tally.after_ns += int(self.after[mine].sum())
            _take(tally.latency, self.latency[mine], latency_places[mine])
            for layer, spread in enumerate(tally.layers):
                _take(spread, self.layers[mine, layer], layer_places[mine, layer])
        several = [tallies[key] for key in keys]
        self._add_owners(several, key_of, book)
        self._add_collected(several, key_of, book)
        self._add_sites(several, key_of, book)
        self._add_phases(several, key_of, book)

    def _add_owners(self, tallies: Sequence[Tally], key_of: Ints, book: InternTable) -> None:
        one, owners = self.segments, book.owners.things
        width = len(owners)
        group = key_of[one.request] * width + one.owner
        again = np.zeros(len(group), bool)
        again[1:] = (group[1:] == group[:-1]) & (one.request[1:] == one.request[:-1])
        length = one.high - one.low
        good = key_of[one.request] >= 0
        for within in (True, False):
            chosen = good & (one.within == within)
            mine = group[chosen]
            spent = np.bincount(mine, length[chosen])
            times = np.bincount(mine, ~again[chosen])
            for place in np.flatnonzero(np.bincount(mine)).tolist():
                tally, owner = tallies[place // width], owners[place % width]
                if within:
                    tally.detail(owner, int(spent[place]), int(times[place]))
                else:
                    tally.after[owner] = tally.after.get(owner, 0) + int(spent[place])

    def _add_collected(self, tallies: Sequence[Tally], key_of: Ints, book: InternTable) -> None:
        """Give garbage collections to their owners' part of that name."""
        for request, number, ns, within in self.collected:
            if key_of[request] < 0:
                continue
            tally, owner = tallies[key_of[request]], book.owners.things[number]
            collecting = owner._replace(part="gc")
            if within:
                tally.detail(owner, -ns, 1)
                tally.detail(collecting, ns, 1)
            else:
                tally.after[owner] -= ns
                tally.after[collecting] = tally.after.get(collecting, 0) + ns

    def _add_sites(self, tallies: Sequence[Tally], key_of: Ints, book: InternTable) -> None:
        hops = self.hops
        width = max(len(book.sites.things), 1)
        good = np.flatnonzero(key_of[hops.request] >= 0)
        group = key_of[hops.request[good]] * width + hops.site[good]
        order = np.argsort(group, kind="stable")
        group, chosen = group[order], good[order]
        wake, cost = hops.phases[chosen, _WAKE], hops.cost[chosen]
        woken = hops.observed[chosen, _WAKE]
        wakes, costs = buckets_of(wake, COARSE_BITS), buckets_of(cost, COARSE_BITS)
        queue = np.where(hops.flags[chosen, _OVERLAPPED], 0, hops.phases[chosen, _QUEUE])
        started = hops.flags[chosen, _THREAD_STARTED]
        edges = np.flatnonzero(np.diff(group, prepend=-1, append=-1)).tolist()
        for low, high in itertools.pairwise(edges):
            site = book.sites.things[group[low] % width]
            found = tallies[group[low] // width].site(site)
            found.hops += high - low
            found.started += int(started[low:high].sum())
            if site.direction == TO_THREAD and not site.after_response:
                found.queue_ns += int(queue[low:high].sum())
            _take(found.cost, cost[low:high], costs[low:high])
            seen = woken[low:high]
            _take(found.wake, wake[low:high][seen], wakes[low:high][seen])

    def _add_phases(self, tallies: Sequence[Tally], key_of: Ints, book: InternTable) -> None:
        """Add the phases of hops to a thread within the window."""
        hops = self.hops
        wanted = np.array(
            [one.direction == TO_THREAD and not one.after_response for one in book.sites.things],
            bool,
        )
        places = buckets_of(hops.phases, COARSE_BITS)
        costs = buckets_of(hops.cost, COARSE_BITS)
        started, beside = hops.flags[:, _THREAD_STARTED], hops.flags[:, _OVERLAPPED]
        for number, tally in enumerate(tallies):
            mine = np.flatnonzero((key_of[hops.request] == number) & wanted[hops.site])
            for phase, spread in enumerate(tally.phases):
                seen = mine[hops.observed[mine, phase]]
                _take(spread, hops.phases[seen, phase], places[seen, phase])
            main = mine[~beside[mine]]
            for spread, those in (
                (tally.cold, main[started[main]]),
                (tally.warm, main[~started[main]]),
            ):
                _take(spread, hops.cost[those], costs[those])
            woken = main[hops.observed[main, _WAKE]]
            _take(tally.wakes, hops.phases[woken, _WAKE], places[woken, _WAKE])


def _take(spread: Spread, values: Ints, places: Ints) -> None:
    if len(values):
        if not isinstance(spread, Buckets):
            raise TypeError
        spread.take(values, places)
