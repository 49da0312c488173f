"""Many timelines to tallies and rows: attributed by plans, without a segment made.

What comes out is what `attribute` says of each of them, added up. A timeline without a
shape is given to `attribute` itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tracer.analysis import busy as others
from tracer.analysis.attribution import attribute
from tracer.analysis.blame import UNNAMED
from tracer.analysis.plan import Book, Story, plan
from tracer.analysis.shape import shapes
from tracer.analysis.tally import TO_THREAD, key_of
from tracer.analysis.telling import tell
from tracer.frames import Busy
from tracer.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tracer.analysis.batch import Batch, Shapes
    from tracer.analysis.plan import Plan
    from tracer.analysis.request import Request
    from tracer.analysis.tally import Tallies
    from tracer.analysis.told import Told
    from tracer.analysis.worker import Worker
    from tracer.frames import Head

    Ints = NDArray[np.int64]

VERSION: Final = 1
"""Of what attribution concludes: other figures from the same marks are another version."""

_PLAN_POINTS: Final = 1_000_000


class Row(NamedTuple):
    """What is concluded of one request; `layers` in the order of `LAYERS`."""

    request_id: int
    trace_id: int
    route: str | None
    status: int | None
    outcome: str
    weight: float
    start_ns: int
    duration_ns: int
    after_ns: int
    hops: int
    threads: int
    connections: int
    layers: tuple[int, ...]
    handoffs: int
    """Hand-offs to a thread within the window; `hops` are all there were."""


class Folder:
    """Adds timelines to tallies. It keeps the plans it made, the least used go first."""

    def __init__(self, tallies: Tallies) -> None:
        """Add to `tallies`."""
        self.tallies = tallies
        self.book = Book()
        self.planned = self.alone = 0
        self._plans: OrderedDict[tuple[bytes, str, bool, bool], Plan] = OrderedDict()
        self._points = 0
        self._numbers: dict[int, Ints] = {}

    def fold(self, batch: Batch, workers: Mapping[int, Worker]) -> list[Row]:
        """Add a batch; return a row for each of its timelines, in their order."""
        found = shapes(batch, lambda worker, values: self._named(workers[worker], worker, values))
        chosen: list[Plan] = []
        places: list[int] = []
        rows: dict[int, Row] = {}
        for place, key in enumerate(found.keys):
            made = None
            if key is not None:
                made = self._plan(key, place, batch, found, workers)
            if made is None:
                rows[place] = self._alone(batch, place, workers)
            else:
                chosen.append(made)
                places.append(place)
        kept = self._apply(batch, found, places, chosen, workers) if places else {}
        for place in places:
            row = kept.get(place)
            rows[place] = row if row is not None else self._alone(batch, place, workers)
        self.planned += len(kept)
        self.alone += len(rows) - len(kept)
        return [rows[place] for place in range(len(rows))]

    def _named(self, worker: Worker, number: int, values: Ints) -> Ints:
        """Translate a worker's numbers of names into the book's."""
        known = self._numbers.get(number)
        if known is None or len(known) <= len(worker.names):
            book = self.book.texts
            known = np.array([0, *(book(name) for name in worker.names)], np.int64)
            self._numbers[number] = known
        found: Ints = known[np.where((values > 0) & (values < len(known)), values, 0)]
        return found

    def _plan(
        self,
        key: bytes,
        place: int,
        batch: Batch,
        found: Shapes,
        workers: Mapping[int, Worker],
    ) -> Plan | None:
        head, worker = batch.heads[place], workers[batch.workers[place]]
        view = worker.text(head.view) or ""
        blocking = worker.text(head.interface) == "wsgi"
        outcome = worker.text(head.outcome) or "cancelled"
        full = (key, view, blocking, outcome == "disconnected")
        made = self._plans.get(full)
        if made is None:
            marks, start, finish = found.story(place)
            made = plan(Story(marks, start, finish, view, blocking, outcome), self.book)
            self._plans[full] = made
            self._points += len(key) >> 3
            while self._points > _PLAN_POINTS:
                (old, *_), _ = self._plans.popitem(last=False)
                self._points -= len(old) >> 3
        else:
            self._plans.move_to_end(full)
        return made

    def _alone(self, batch: Batch, place: int, workers: Mapping[int, Worker]) -> Row:
        head, number = batch.heads[place], batch.workers[place]
        low, high = batch.bounds[place], batch.bounds[place + 1]
        marks = [(c, i, w, v) for c, i, w, v in batch.marks[low:high].tolist()]
        busy = batch.busy.get(number)
        near = () if busy is None else others.near(busy, head.start_ns, head.finish_ns).tolist()
        request = attribute(head, marks, workers[number], [Busy(*entry) for entry in near])
        self.tallies.add(request)
        return _row_of(request, head)

    def _apply(
        self,
        batch: Batch,
        found: Shapes,
        places: list[int],
        chosen: list[Plan],
        workers: Mapping[int, Worker],
    ) -> dict[int, Row]:
        told = tell(batch, found, places, chosen, self.book, self._busy(batch, workers))
        rows: dict[int, Row] = {}
        by_key: dict[Any, list[int]] = {}
        layers = told.layers.tolist()
        handoffs = self._handoffs(told).tolist()
        for n, (place, one) in enumerate(zip(places, chosen, strict=True)):
            if told.odd[n]:
                continue
            head, worker = batch.heads[place], workers[batch.workers[place]]
            outcome = worker.text(head.outcome) or "cancelled"
            route = worker.text(head.route)
            key = key_of(
                route,
                worker.text(head.interface) or "asgi",
                worker.text(head.server) or "",
                head.weight,
            )
            by_key.setdefault(key, []).append(n)
            tally = self.tallies[key]
            status = head.status or None
            tally.note(
                outcome,
                status,
                one.connections,
                queried=bool(told.queried[n]),
                weighed=head.weight_known,
            )
            tally.threads += one.threads
            tally.threads_after += one.threads_after
            rows[place] = Row(
                head.request_id,
                head.trace_id,
                route,
                status,
                outcome,
                key.weight,
                head.start_ns,
                int(told.latency[n]),
                int(told.after[n]),
                len(one.hop_site),
                one.threads,
                one.connections,
                tuple(layers[n]),
                handoffs[n],
            )
        told.add_to(self.tallies, by_key, self.book)
        return rows

    def _handoffs(self, told: Told) -> Ints:
        """Count each request's hand-offs to a thread within its window."""
        wanted = np.array(
            [
                one.direction == TO_THREAD and not one.after_response
                for one in self.book.sites.things
            ],
            bool,
        )
        counts: Ints = np.bincount(told.hops.request[wanted[told.hops.site]], minlength=told.count)
        return counts

    def _busy(self, batch: Batch, workers: Mapping[int, Worker]) -> others.Log:
        """Give the occupancy of a batch's workers the book's names."""
        named: dict[int, Ints] = {}
        for number, entries in batch.busy.items():
            texts = self.book.texts
            names = self._named(workers[number], number, entries[:, 4])
            unknown = np.where(entries[:, 3] != 0, texts("another request"), texts(UNNAMED))
            named[number] = np.where(names > 0, names, unknown)
        return others.Log(batch.busy, named)


def _row_of(request: Request, head: Head) -> Row:
    return Row(
        head.request_id,
        head.trace_id,
        request.route,
        request.status,
        request.outcome,
        key_of(None, "", "", request.weight).weight,
        request.start_ns,
        request.duration_ns,
        request.after_response_ns,
        len(request.hops),
        request.threads_started,
        request.connections_opened,
        tuple(request.layers.get(layer, 0) for layer in LAYERS),
        sum(hop.direction == TO_THREAD and not hop.after_response for hop in request.hops),
    )
