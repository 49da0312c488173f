"""Timelines whose shapes have plans, with instants put in: what each request's parts took.

Tallies and spans both read it, so a process that needs both attributes a request once.
What is asked for is worked out for all requests at a time, the first time it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np

from tracer.analysis.shapes.columns import (
    HandoffColumns,
    Joined,
    SegmentColumns,
    begins,
    end_to_end,
    joined,
    sums,
)
from tracer.analysis.shapes.garbage import collections_in
from tracer.analysis.shapes.preemptions import Preemptions
from tracer.model.layers import HOP_PHASES, LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch, Shapes
    from tracer.analysis.shapes.columns import Collection
    from tracer.analysis.shapes.intern_table import InternTable
    from tracer.analysis.shapes.occupancy import Log
    from tracer.analysis.shapes.plan import Plan
    from tracer.model.frames import Head

    Ints = NDArray[np.int64]

_PHASES: Final = len(HOP_PHASES)
_LAYERS: Final = len(LAYERS)
_LOOP: Final = LAYERS.index("event_loop")

Made = TypeVar("Made")


@dataclass(frozen=True)
class PlannedBatch(Generic[Made]):
    """The timelines of a batch that have plans, by their places; the others are `alone`.

    `made` is what else was made of each one's shape. Request `n` of all columns is the
    `n`-th of these.
    """

    batch: Batch
    workers: Mapping[int, Worker]
    shapes: Shapes
    names: InternTable
    log: Log
    places: list[int]
    plans: list[Plan]
    made: list[Made]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def alone(self) -> list[int]:
        """The places of timelines that are to be attributed by themselves."""
        planned = set(self.places)
        return [place for place in range(len(self.batch.heads)) if place not in planned]

    def without(self, numbers: set[int]) -> PlannedBatch[Made]:
        """Return the same without some of the requests."""
        kept = [number for number in range(len(self)) if number not in numbers]
        return PlannedBatch(
            self.batch,
            self.workers,
            self.shapes,
            self.names,
            self.log,
            [self.places[number] for number in kept],
            [self.plans[number] for number in kept],
            [self.made[number] for number in kept],
        )

    def worker(self, number: int) -> Worker:
        """Return a request's worker."""
        return self.workers[self.batch.workers[self.places[number]]]

    @cached_property
    def heads(self) -> list[Head]:
        """The requests' heads."""
        return [self.batch.heads[place] for place in self.places]

    @cached_property
    def at(self) -> Ints:
        """The requests' places in the batch."""
        return np.array(self.places, np.int64)

    @cached_property
    def starts(self) -> Ints:
        """When each request began."""
        return np.array([head.start_ns for head in self.heads], np.int64)

    @cached_property
    def _base(self) -> Ints:
        found: Ints = self.shapes.bounds[self.at].astype(np.int64)
        return found

    def instants(self, places: Joined) -> Ints:
        """Return the instants of requests' places, each since its request's start."""
        found: Ints = self.shapes.instants[places.values + self._base[places.of]]
        return found

    def instant_each(self, places: Sequence[int]) -> Ints:
        """Return the instant of one place of each request."""
        found: Ints = self.shapes.instants[np.array(places, np.int64) + self._base]
        return found

    @cached_property
    def ends(self) -> Ints:
        """How long each request's window is."""
        return self.instant_each([one.end for one in self.plans])

    @cached_property
    def after(self) -> Ints:
        """How long each request's work went on after its window."""
        return self.instant_each([one.finish for one in self.plans]) - self.ends

    @cached_property
    def segments(self) -> SegmentColumns:
        """The segments of windows and of what came after; what others ran isn't cut out."""
        low, high = (joined([getattr(one, name) for one in self.plans]) for name in ("low", "high"))
        place = np.arange(len(low.of)) - low.bounds[low.of]
        window = np.array([one.window for one in self.plans], np.int64)
        return SegmentColumns(
            low.of,
            self.instants(low),
            self.instants(high),
            end_to_end([one.owner for one in self.plans]),
            place < window[low.of],
            np.concatenate([one.runs for one in self.plans]),
        )

    @cached_property
    def segments_from(self) -> Ints:
        """Where each request's segments begin."""
        return begins([len(one.low) for one in self.plans])

    @cached_property
    def handoffs(self) -> HandoffColumns:
        """The hand-offs, their phases gross."""
        site = joined([one.site for one in self.plans])
        cell = joined([one.phase_cell for one in self.plans])
        low, high = (
            self.instants(Joined(end_to_end([getattr(one, name) for one in self.plans]), *cell[1:]))
            for name in ("phase_low", "phase_high")
        )
        count = len(site.values)
        phases = sums(cell.values + site.bounds[cell.of] * _PHASES, high - low, count * _PHASES)
        late = self.preemptions[1]
        return HandoffColumns(
            site.of,
            site.values,
            np.concatenate([one.flags for one in self.plans]),
            phases.reshape(count, _PHASES),
            np.concatenate([one.observed for one in self.plans]),
            sums(site.bounds[late.request] + late.place, late.length, count),
        )

    @cached_property
    def handoffs_from(self) -> Ints:
        """Where each request's hand-offs begin."""
        return begins([len(one.site) for one in self.plans])

    @cached_property
    def preemptions(self) -> tuple[Preemptions, Preemptions]:
        """What others ran while segments waited, and while hand-offs waited for the loop."""
        return self.preempted([one.waits for one in self.plans])

    def preempted(self, waits: list[Ints]) -> tuple[Preemptions, Preemptions]:
        """Return what others ran in stretches of each request, given as in `Plan.waits`."""
        low, high, thread, place = np.concatenate(waits, axis=1)
        request = np.repeat(np.arange(len(self)), [one.shape[1] for one in waits])
        base, start = self._base[request], self.starts[request]
        group = self._groups(request, thread)
        sequence = np.array([head.sequence for head in self.heads], np.int64)[request]
        found = self.log.preemptions(
            group,
            self.shapes.instants[low + base] + start,
            self.shapes.instants[high + base] + start,
            sequence,
            start,
        )
        every = Preemptions(
            request[found.stretch], place[found.stretch], found.low, found.high, found.blocker
        )
        of_segments = every.place >= 0
        ends = Preemptions(*(column[~of_segments] for column in every))
        return (
            Preemptions(*(column[of_segments] for column in every)),
            ends._replace(place=-1 - ends.place),
        )

    def _groups(self, request: Ints, thread: Ints) -> Ints:
        """Return the numbers that the log has for requests' threads."""
        whose = np.array(self.batch.workers, np.int64)[self.at[request]]
        ident = self.shapes.threads[self.shapes.thread_base[self.at[request]] + thread]
        known, number = np.unique(ident, return_inverse=True)
        pairs, place = np.unique(whose * len(known) + number, return_inverse=True)
        groups = [
            self.log.group(pair // len(known), int(known[pair % len(known)]))
            for pair in pairs.tolist()
        ]
        return np.array(groups, np.int64)[place]

    @cached_property
    def spent(self) -> Ints:
        """How long each segment took without what others had of it."""
        segments, preempted = self.segments, self.preemptions[0]
        rows = self.segments_from[preempted.request] + preempted.place
        found: Ints = segments.high - segments.low
        return found - sums(rows, preempted.length, len(found))

    @cached_property
    def layers(self) -> Ints:
        """Each request's sums by layer, of its window."""
        segments, preempted = self.segments, self.preemptions[0]
        cell = segments.request * _LAYERS + self.names.layers()[segments.owner]
        within = segments.within
        count = len(self)
        found = sums(cell[within], self.spent[within], count * _LAYERS).reshape(count, _LAYERS)
        lost = within[self.segments_from[preempted.request] + preempted.place]
        found[:, _LOOP] += sums(preempted.request[lost], preempted.length[lost], count)
        return found

    @cached_property
    def collections(self) -> tuple[list[Collection], set[int]]:
        """Whose time garbage collections were, and which requests no plan is enough for."""
        if not self.plans or not self.shapes.pauses:
            return [], set()
        return collections_in(
            self.segments, self.segments_from, self.shapes, self.places, self.names
        )
