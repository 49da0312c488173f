"""Many timelines to tallies and rows: attributed by plans, without a segment made.

What comes out is what `attribute` says of each of them, added up. A timeline without a
plan is given to `attribute` itself.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracer.analysis.shapes.batch_result import BatchResult
from tracer.analysis.shapes.planner import Planner, attributed
from tracer.analysis.statistics.tally import key_of
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.analysis.attribution.attribute import Attribution
    from tracer.analysis.attribution.request import Request
    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch
    from tracer.analysis.shapes.intern_table import InternTable
    from tracer.analysis.shapes.planned_batch import PlannedBatch
    from tracer.analysis.statistics.tally import Key, Tallies
    from tracer.model.frames import Head

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


def tallies_planner() -> Planner[None]:
    """Return a planner for whoever needs tallies alone: nothing is kept but the plans."""
    return Planner(_nothing_more, _MOST)


def _nothing_more(_found: Attribution, _names: InternTable) -> None:
    """Tallies need plans and nothing more."""


class TallyBuilder:
    """Adds timelines to tallies."""

    def __init__(self, tallies: Tallies) -> None:
        """Add to `tallies`."""
        self.tallies = tallies
        self.planned = self.alone = 0
        self._planner = tallies_planner()

    def add(self, batch: Batch, workers: Mapping[int, Worker]) -> list[Row]:
        """Plan a batch and add it; return a row for each of its timelines, in their order."""
        return self.add_planned(self._planner.plan(batch, workers))

    def add_planned(self, planned: PlannedBatch[Any]) -> list[Row]:
        """Add a batch that somebody else may read, too."""
        batch, alone = planned.batch, planned.alone
        rows = dict(zip(planned.places, self._add(planned), strict=True)) if len(planned) else {}
        for place in alone:
            request = attributed(batch, place, planned.workers)
            self.tallies.add(request)
            rows[place] = _row_of(request, batch.heads[place])
        self.planned += len(planned)
        self.alone += len(alone)
        return [rows[place] for place in range(len(rows))]

    def _add(self, planned: PlannedBatch[Any]) -> list[Row]:
        result = BatchResult(planned)
        rows: list[Row] = []
        members: defaultdict[Key, list[int]] = defaultdict(list)
        figures = zip(
            planned.heads,
            planned.plans,
            result.latency.tolist(),
            result.after.tolist(),
            result.layers.tolist(),
            strict=True,
        )
        for number, (head, plan, latency, after, layers) in enumerate(figures):
            worker, counts = planned.worker(number), plan.counts
            outcome = worker.text(head.outcome) or "cancelled"
            route = worker.text(head.route)
            interface = worker.text(head.interface) or "asgi"
            key = key_of(route, interface, worker.text(head.server) or "", head.weight)
            members[key].append(number)
            tally = self.tallies[key]
            tally.note(
                outcome,
                head.status or None,
                counts.connections,
                queried=plan.queried,
                weighed=head.weight_known,
            )
            tally.threads += counts.threads
            tally.threads_after += counts.threads_after
            rows.append(
                Row(
                    head.request_id,
                    head.trace_id,
                    route,
                    head.status or None,
                    outcome,
                    key.weight,
                    head.start_ns,
                    latency,
                    after,
                    len(plan.site),
                    counts.threads,
                    counts.connections,
                    tuple(layers),
                    counts.handoffs,
                )
            )
        result.add_to(self.tallies, members)
        return rows


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
        sum(one.counts for one in request.hops),
    )
