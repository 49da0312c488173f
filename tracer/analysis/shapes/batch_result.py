"""What many requests took, and how it is added to tallies."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.attribution.garbage import collecting
from tracer.analysis.shapes.columns import SegmentColumns
from tracer.analysis.statistics.spread import COARSE_BITS, FINE_BITS, Buckets, buckets_of
from tracer.model.layers import HOP_PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.shapes.planned_batch import PlannedBatch
    from tracer.analysis.statistics.spread import Spread
    from tracer.analysis.statistics.tally import Key, Tallies, Tally

    Ints = NDArray[np.int64]

_RUN: Final = HOP_PHASES.index("run")
_WAKE: Final = HOP_PHASES.index("wake")
_QUEUE: Final = HOP_PHASES.index("queue")
_THREAD_STARTED, _OVERLAPPED = 0, 1
_TIME_BITS: Final = 42


class BatchResult:
    """What many requests took: row `n` of each array is the batch's `n`-th request."""

    def __init__(self, planned: PlannedBatch[Any]) -> None:
        """Take what others ran out of what was planned."""
        self._names = planned.names
        self.latency, self.after = planned.ends, planned.after
        self.layers = planned.layers
        self.collections = planned.collections[0]
        self.segments = _split(planned)
        self.handoffs = one = planned.handoffs
        gross = one.phases.sum(axis=1) - one.phases[:, _RUN]
        self.cost: Ints = np.maximum(gross - one.event_loop_ns, 0)

    def add_to(self, tallies: Tallies, members: Mapping[Key, Sequence[int]]) -> None:
        """Add all requests; `members` are the rows of each key's."""
        keys = list(members)
        key_of = np.zeros(len(self.latency), np.int64)
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
        self._add_owners(several, key_of)
        self._add_collected(several, key_of)
        self._add_sites(several, key_of)
        self._add_phases(several, key_of)

    def _add_owners(self, tallies: Sequence[Tally], key_of: Ints) -> None:
        one, owners = self.segments, self._names.owners.things
        width = len(owners)
        group = key_of[one.request] * width + one.owner
        again = np.zeros(len(group), bool)
        again[1:] = (group[1:] == group[:-1]) & (one.request[1:] == one.request[:-1])
        length = one.high - one.low
        for within in (True, False):
            chosen = one.within == within
            mine = group[chosen]
            spent = np.bincount(mine, length[chosen])
            times = np.bincount(mine, ~again[chosen])
            for place in np.flatnonzero(np.bincount(mine)).tolist():
                tally, owner = tallies[place // width], owners[place % width]
                if within:
                    tally.detail(owner, int(spent[place]), int(times[place]))
                else:
                    tally.after[owner] = tally.after.get(owner, 0) + int(spent[place])

    def _add_collected(self, tallies: Sequence[Tally], key_of: Ints) -> None:
        """Give garbage collections to their owners' part of that name."""
        for request, number, ns, within in self.collections:
            tally, owner = tallies[key_of[request]], self._names.owners.things[number]
            if within:
                tally.detail(owner, -ns, 1)
                tally.detail(collecting(owner), ns, 1)
            else:
                tally.after[owner] -= ns
                tally.after[collecting(owner)] = tally.after.get(collecting(owner), 0) + ns

    def _add_sites(self, tallies: Sequence[Tally], key_of: Ints) -> None:
        handoffs, sites = self.handoffs, self._names.sites.things
        width = max(len(sites), 1)
        group = key_of[handoffs.request] * width + handoffs.site
        order = np.argsort(group, kind="stable")
        group = group[order]
        wake, cost = handoffs.phases[order, _WAKE], self.cost[order]
        woken = handoffs.observed[order, _WAKE]
        wakes, costs = buckets_of(wake, COARSE_BITS), buckets_of(cost, COARSE_BITS)
        queue = np.where(handoffs.flags[order, _OVERLAPPED], 0, handoffs.phases[order, _QUEUE])
        started = handoffs.flags[order, _THREAD_STARTED]
        edges = np.flatnonzero(np.diff(group, prepend=-1, append=-1)).tolist()
        for low, high in itertools.pairwise(edges):
            site = sites[group[low] % width]
            found = tallies[group[low] // width].site(site)
            found.count += high - low
            found.started += int(started[low:high].sum())
            if site.counts:
                found.queue_ns += int(queue[low:high].sum())
            _take(found.cost, cost[low:high], costs[low:high])
            seen = woken[low:high]
            _take(found.wake, wake[low:high][seen], wakes[low:high][seen])

    def _add_phases(self, tallies: Sequence[Tally], key_of: Ints) -> None:
        """Add the phases of hand-offs to a thread within the window."""
        handoffs = self.handoffs
        wanted = self._names.counted_sites()[handoffs.site]
        places = buckets_of(handoffs.phases, COARSE_BITS)
        costs = buckets_of(self.cost, COARSE_BITS)
        started = handoffs.flags[:, _THREAD_STARTED]
        overlapped = handoffs.flags[:, _OVERLAPPED]
        for number, tally in enumerate(tallies):
            mine = np.flatnonzero((key_of[handoffs.request] == number) & wanted)
            for phase, spread in enumerate(tally.phases):
                seen = mine[handoffs.observed[mine, phase]]
                _take(spread, handoffs.phases[seen, phase], places[seen, phase])
            main = mine[~overlapped[mine]]
            for spread, those in (
                (tally.cold, main[started[main]]),
                (tally.warm, main[~started[main]]),
            ):
                _take(spread, self.cost[those], costs[those])
            woken = main[handoffs.observed[main, _WAKE]]
            _take(tally.wakes, handoffs.phases[woken, _WAKE], places[woken, _WAKE])


def _split(planned: PlannedBatch[Any]) -> SegmentColumns:
    """Give to the event loop what others ran; what is left of a segment stays its own."""
    one, preempted = planned.segments, planned.preemptions[0]
    if not len(preempted.request):
        return one
    row, low, high = (
        planned.segments_from[preempted.request] + preempted.place,
        preempted.low,
        preempted.high,
    )
    known, number = np.unique(preempted.who, return_inverse=True)
    blocker = planned.names.blocker
    owners = np.array([blocker(text) for text in known.tolist()], np.int64)[number]
    first = np.diff(row, prepend=-1) != 0
    last = np.diff(row, append=-1) != 0
    before = np.where(first, one.low[row], np.roll(high, 1))
    whole = np.ones(len(one.low), bool)
    whole[row] = False
    kept = np.flatnonzero(whole)
    source = np.concatenate([kept, row, row, row[last]])
    lows = np.concatenate([one.low[kept], before, low, high[last]])
    highs = np.concatenate([one.high[kept], low, high, one.high[row[last]]])
    owner = one.owner[source]
    lost = slice(len(kept) + len(row), len(kept) + 2 * len(row))
    owner[lost] = owners
    runs = one.runs[source]
    runs[lost] = False
    chosen = np.flatnonzero(lows < highs)
    order = np.argsort((source[chosen] << _TIME_BITS) + lows[chosen], kind="stable")
    chosen = chosen[order]
    source = source[chosen]
    return SegmentColumns(
        one.request[source], lows[chosen], highs[chosen], owner[chosen], one.within[source],
        runs[chosen],
    )  # fmt: skip


def _take(spread: Spread, values: Ints, places: Ints) -> None:
    if len(values):
        if not isinstance(spread, Buckets):
            raise TypeError
        spread.take(values, places)
