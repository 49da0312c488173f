"""Many timelines to spans: by their shapes, and one by one where they have none."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis import busy as others
from tracer.analysis.attribution import attribute
from tracer.analysis.blame import UNNAMED
from tracer.analysis.drawing import Origin, Sketch
from tracer.analysis.plan import Book, Story
from tracer.analysis.shape import shapes
from tracer.analysis.span_root import Facts
from tracer.analysis.span_shape import SpanShape, shape_spans
from tracer.analysis.spans import trace_of
from tracer.frames import Busy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tracer.analysis.batch import Batch, Shapes
    from tracer.analysis.drawn import Drawn
    from tracer.analysis.span_levels import Level
    from tracer.analysis.spans import Trace
    from tracer.analysis.worker import Worker
    from tracer.frames import Head

    Ints = NDArray[np.int64]

_POINTS: Final = 500_000
"""So many marks may the shapes have that are kept; the least used go first."""


class Drawer:
    """Keeps what it found out about shapes."""

    def __init__(self, level: Level) -> None:
        """Draw at a level of detail."""
        self._level: Level = level
        self._book = Book()
        self._known: OrderedDict[tuple[bytes, str, bool, bool], SpanShape] = OrderedDict()
        self._points = 0
        self._numbers: dict[int, Ints] = {}
        self.drawn = self.alone = 0

    def draw(self, batch: Batch, workers: Mapping[int, Worker]) -> list[Drawn | Trace]:
        """Return the spans of a batch's timelines, in their order."""
        found = shapes(batch, lambda worker, values: self._named(workers[worker], worker, values))
        places, chosen = [], []
        for place, key in enumerate(found.keys):
            if key is not None:
                places.append(place)
                chosen.append(self._shape(key, place, batch, found, workers))
        drawn: dict[int, Drawn] = {}
        if places:
            sketch = Sketch(batch, found, places, chosen, self._level)
            sketch.blame(self._busy(batch, workers), self._book)
            origins = [
                _origin(batch.heads[place], workers[batch.workers[place]]) for place in places
            ]
            drawn = sketch.draw(origins, sketch.odd(self._book))
        self.drawn += len(drawn)
        self.alone += len(batch.heads) - len(drawn)
        return [
            drawn[place] if place in drawn else self._alone(batch, place, workers)
            for place in range(len(batch.heads))
        ]

    def _named(self, worker: Worker, number: int, values: Ints) -> Ints:
        """Translate a worker's numbers of names into the book's."""
        known = self._numbers.get(number)
        if known is None or len(known) <= len(worker.names):
            book = self._book.texts
            known = np.array([0, *(book(name) for name in worker.names)], np.int64)
            self._numbers[number] = known
        found: Ints = known[np.where((values > 0) & (values < len(known)), values, 0)]
        return found

    def _shape(
        self,
        key: bytes,
        place: int,
        batch: Batch,
        found: Shapes,
        workers: Mapping[int, Worker],
    ) -> SpanShape:
        head, worker = batch.heads[place], workers[batch.workers[place]]
        view = worker.text(head.view) or ""
        blocking = worker.text(head.interface) == "wsgi"
        outcome = worker.text(head.outcome) or "cancelled"
        full = (key, view, blocking, outcome == "disconnected")
        made = self._known.get(full)
        if made is not None:
            self._known.move_to_end(full)
            return made
        marks, start, finish = found.story(place)
        story = Story(marks, start, finish, view, blocking, outcome)
        made = self._known[full] = shape_spans(story, self._book, self._level)
        self._points += len(key) >> 3
        while self._points > _POINTS and len(self._known) > 1:
            (old, *_), _ = self._known.popitem(last=False)
            self._points -= len(old) >> 3
        return made

    def _busy(self, batch: Batch, workers: Mapping[int, Worker]) -> others.Log:
        """Give the occupancy of a batch's workers the book's names."""
        texts = self._book.texts
        named: dict[int, Ints] = {}
        for number, entries in batch.busy.items():
            names = self._named(workers[number], number, entries[:, 4])
            unknown = np.where(entries[:, 3] != 0, texts("another request"), texts(UNNAMED))
            named[number] = np.where(names > 0, names, unknown)
        return others.Log(batch.busy, named)

    def _alone(self, batch: Batch, place: int, workers: Mapping[int, Worker]) -> Trace:
        head, number = batch.heads[place], batch.workers[place]
        low, high = batch.bounds[place], batch.bounds[place + 1]
        marks = [(c, i, w, v) for c, i, w, v in batch.marks[low:high].tolist()]
        busy = batch.busy.get(number)
        near = () if busy is None else others.near(busy, head.start_ns, head.finish_ns).tolist()
        request = attribute(head, marks, workers[number], [Busy(*entry) for entry in near])
        return trace_of(request, self._level)


def _origin(head: Head, worker: Worker) -> Origin:
    route = worker.text(head.route)
    path = head.path if head.path and head.path != route else None
    facts = Facts(
        worker.text(head.method) or "",
        route,
        path,
        head.status or None,
        worker.text(head.outcome) or "cancelled",
        worker.text(head.error_type),
        worker.text(head.interface) or "asgi",
        worker.text(head.server) or "",
        worker.text(head.loop),
        worker.text(head.http),
        head.weight if head.weight_known else None,
        head.reason,
        worker.seams_absent,
    )
    return Origin(facts, worker.pid, worker.wall_offset_ns)
