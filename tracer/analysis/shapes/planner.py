"""Batches to planned batches: each shape is attributed once, the least used forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from tracer.analysis.attribution.attribute import RequestMarks, attribute
from tracer.analysis.attribution.blame import unnamed
from tracer.analysis.shapes import occupancy
from tracer.analysis.shapes.intern_table import InternTable
from tracer.analysis.shapes.plan import attribute_shape, make_plan
from tracer.analysis.shapes.planned_batch import Made, PlannedBatch
from tracer.analysis.shapes.shape import shapes
from tracer.model.frames import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tracer.analysis.attribution.attribute import Attribution
    from tracer.analysis.attribution.request import Request
    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch, Shapes
    from tracer.analysis.shapes.plan import Plan

    Ints = NDArray[np.int64]


class Planner(Generic[Made]):
    """Plans batches; what `make` makes of a shape's attribution is kept with its plan."""

    def __init__(self, make: Callable[[Attribution, InternTable], Made], most: int) -> None:
        """Keep plans of shapes that have at most so many marks together."""
        self.names = InternTable()
        self.kept: OrderedDict[tuple[bytes, str, bool, bool], tuple[Plan, Made]] = OrderedDict()
        self._make, self._most = make, most
        self._marks = 0
        self._numbers: dict[int, Ints] = {}

    def plan(self, batch: Batch, workers: Mapping[int, Worker]) -> PlannedBatch[Made]:
        """Return those timelines of a batch for which the plans of their shapes are enough."""
        found = shapes(batch, lambda worker, values: self._named(workers[worker], worker, values))
        planned: dict[int, tuple[Plan, Made]] = {}
        for place in range(len(batch.heads)):
            made = self._of_shape(place, batch, found, workers)
            if made is not None:
                planned[place] = made
        log = self._log(batch, workers)
        plans, extras = [plan for plan, _ in planned.values()], [one for _, one in planned.values()]
        whole = PlannedBatch(batch, workers, found, self.names, log, list(planned), plans, extras)
        _, needs_fallback = whole.collections
        return whole.without(needs_fallback) if needs_fallback else whole

    def _of_shape(
        self, place: int, batch: Batch, found: Shapes, workers: Mapping[int, Worker]
    ) -> tuple[Plan, Made] | None:
        """Return the plan of a timeline's shape; None for one without."""
        key = found.keys[place]
        if key is None:
            return None
        head, worker = batch.heads[place], workers[batch.workers[place]]
        view = worker.text(head.view) or ""
        blocking = worker.text(head.interface) == "wsgi"
        outcome = worker.text(head.outcome) or "cancelled"
        full = (key, view, blocking, outcome == "disconnected")
        made = self.kept.get(full)
        if made is not None:
            self.kept.move_to_end(full)
            return made
        request = RequestMarks(*found.symbolic(place), view, blocking, outcome)
        attribution = attribute_shape(request, self.names)
        made = make_plan(attribution, self.names), self._make(attribution, self.names)
        self.kept[full] = made
        self._marks += len(key) >> 3
        while self._marks > self._most and len(self.kept) > 1:
            (old, *_), _ = self.kept.popitem(last=False)
            self._marks -= len(old) >> 3
        return made

    def _log(self, batch: Batch, workers: Mapping[int, Worker]) -> occupancy.Log:
        """Return the occupancy of a batch's workers in the table's names."""
        texts = self.names.texts
        named: dict[int, Ints] = {}
        for number, entries in batch.busy.items():
            names = self._named(workers[number], number, entries[:, 4])
            unknown = np.where(entries[:, 3] != 0, texts(unnamed(1)), texts(unnamed(0)))
            named[number] = np.where(names > 0, names, unknown)
        return occupancy.Log(batch.busy, named)

    def _named(self, worker: Worker, number: int, values: Ints) -> Ints:
        """Translate a worker's numbers of names into the table's."""
        known = self._numbers.get(number)
        if known is None or len(known) <= len(worker.names):
            texts: Any = self.names.texts
            known = np.array([0, *(texts(name) for name in worker.names)], np.int64)
            self._numbers[number] = known
        found: Ints = known[np.where((values > 0) & (values < len(known)), values, 0)]
        return found


def attributed(batch: Batch, place: int, workers: Mapping[int, Worker]) -> Request:
    """Attribute a timeline of a batch by itself."""
    head, number = batch.heads[place], batch.workers[place]
    low, high = batch.bounds[place], batch.bounds[place + 1]
    marks = [(c, i, w, v) for c, i, w, v in batch.marks[low:high].tolist()]
    busy = batch.busy.get(number)
    near = () if busy is None else occupancy.near(busy, head.start_ns, head.finish_ns).tolist()
    return attribute(head, marks, workers[number], [Busy(*entry) for entry in near])
