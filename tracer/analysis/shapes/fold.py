"""Many timelines to tallies and rows: attributed by plans, without a segment made.

What comes out is what `attribute` says of each of them, added up. A timeline without a
shape is given to `attribute` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tracer.analysis.shapes.evaluate import tell
from tracer.analysis.shapes.plan import plan
from tracer.analysis.shapes.planner import Planner, attributed
from tracer.analysis.statistics.tally import TO_THREAD, key_of
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch, Shapes
    from tracer.analysis.shapes.batch_result import BatchResult
    from tracer.analysis.shapes.plan import Plan
    from tracer.analysis.statistics.tally import Tallies
    from tracer.model.frames import Head

    Ints = NDArray[np.int64]

VERSION: Final = 1
"""Of what attribution concludes: other figures from the same marks are another version."""

_MOST: Final = 1_000_000
"""So many marks may the shapes have whose plans are kept."""


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
        self.planned = self.alone = 0
        self._planner = Planner(plan, _MOST)

    def fold(self, batch: Batch, workers: Mapping[int, Worker]) -> list[Row]:
        """Add a batch; return a row for each of its timelines, in their order."""
        found = self._planner.shapes(batch, workers)
        chosen: list[Plan] = []
        places: list[int] = []
        rows: dict[int, Row] = {}
        for place in range(len(batch.heads)):
            made = self._planner.plan(place, batch, found, workers)
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

    def _alone(self, batch: Batch, place: int, workers: Mapping[int, Worker]) -> Row:
        request = attributed(batch, place, workers)
        self.tallies.add(request)
        return _row_of(request, batch.heads[place])

    def _apply(
        self,
        batch: Batch,
        found: Shapes,
        places: list[int],
        chosen: list[Plan],
        workers: Mapping[int, Worker],
    ) -> dict[int, Row]:
        book = self._planner.book
        told = tell(batch, found, places, chosen, book, self._planner.busy(batch, workers))
        rows: dict[int, Row] = {}
        by_key: dict[Any, list[int]] = {}
        layers = told.layers.tolist()
        handoffs = self._handoffs(told).tolist()
        for n, (place, one) in enumerate(zip(places, chosen, strict=True)):
            if told.needs_fallback[n]:
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
        told.add_to(self.tallies, by_key, book)
        return rows

    def _handoffs(self, told: BatchResult) -> Ints:
        """Count each request's hand-offs to a thread within its window."""
        wanted = np.array(
            [
                one.direction == TO_THREAD and not one.after_response
                for one in self._planner.book.sites.things
            ],
            bool,
        )
        counts: Ints = np.bincount(told.hops.request[wanted[told.hops.site]], minlength=told.count)
        return counts


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
