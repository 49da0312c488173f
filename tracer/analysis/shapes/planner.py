"""What is found out once for all timelines of a shape, the least used of it forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from tracer.analysis.attribution.blame import UNNAMED
from tracer.analysis.attribution.walk import attribute
from tracer.analysis.shapes import occupancy as others
from tracer.analysis.shapes.plan import InternTable, SymbolicTimeline
from tracer.analysis.shapes.shape import shapes
from tracer.model.frames import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch, Shapes

    Ints = NDArray[np.int64]

Made = TypeVar("Made")


class Planner(Generic[Made]):
    """Gives each timeline of a batch what `make` makes of its shape; names are of one book."""

    def __init__(self, make: Callable[[SymbolicTimeline, InternTable], Made], most: int) -> None:
        """Keep what was made of shapes that have at most so many marks together."""
        self.book = InternTable()
        self.kept: OrderedDict[tuple[bytes, str, bool, bool], Made] = OrderedDict()
        self._make, self._most = make, most
        self._marks = 0
        self._numbers: dict[int, Ints] = {}

    def shapes(self, batch: Batch, workers: Mapping[int, Worker]) -> Shapes:
        """Return the shapes of a batch."""
        return shapes(batch, lambda worker, values: self._named(workers[worker], worker, values))

    def plan(
        self, place: int, batch: Batch, found: Shapes, workers: Mapping[int, Worker]
    ) -> Made | None:
        """Return what is made of a timeline's shape; None for one without."""
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
        marks, start, finish = found.story(place)
        story = SymbolicTimeline(marks, start, finish, view, blocking, outcome)
        made = self.kept[full] = self._make(story, self.book)
        self._marks += len(key) >> 3
        while self._marks > self._most and len(self.kept) > 1:
            (old, *_), _ = self.kept.popitem(last=False)
            self._marks -= len(old) >> 3
        return made

    def busy(self, batch: Batch, workers: Mapping[int, Worker]) -> others.Log:
        """Return the occupancy of a batch's workers in the book's names."""
        texts = self.book.texts
        named: dict[int, Ints] = {}
        for number, entries in batch.busy.items():
            names = self._named(workers[number], number, entries[:, 4])
            unknown = np.where(entries[:, 3] != 0, texts("another request"), texts(UNNAMED))
            named[number] = np.where(names > 0, names, unknown)
        return others.Log(batch.busy, named)

    def _named(self, worker: Worker, number: int, values: Ints) -> Ints:
        """Translate a worker's numbers of names into the book's."""
        known = self._numbers.get(number)
        if known is None or len(known) <= len(worker.names):
            book: Any = self.book.texts
            known = np.array([0, *(book(name) for name in worker.names)], np.int64)
            self._numbers[number] = known
        found: Ints = known[np.where((values > 0) & (values < len(known)), values, 0)]
        return found


def attributed(batch: Batch, place: int, workers: Mapping[int, Worker]) -> Request:
    """Attribute a timeline of a batch by itself."""
    head, number = batch.heads[place], batch.workers[place]
    low, high = batch.bounds[place], batch.bounds[place + 1]
    marks = [(c, i, w, v) for c, i, w, v in batch.marks[low:high].tolist()]
    busy = batch.busy.get(number)
    near = () if busy is None else others.near(busy, head.start_ns, head.finish_ns).tolist()
    return attribute(head, marks, workers[number], [Busy(*entry) for entry in near])
