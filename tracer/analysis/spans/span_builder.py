"""Many timelines to spans: by their shapes, and one by one where they have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.shapes.planner import Planner, attributed
from tracer.analysis.spans.span_batch import RowBuilder
from tracer.analysis.spans.span_location import LocationCache, kernel_threads
from tracer.analysis.spans.span_root import Facts
from tracer.analysis.spans.span_row import Origin, SpanRow
from tracer.analysis.spans.span_shape import span_shape
from tracer.analysis.spans.spans import trace_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch
    from tracer.analysis.shapes.planned_batch import PlannedBatch
    from tracer.analysis.spans.span_levels import Level
    from tracer.analysis.spans.span_shape import SpanShape
    from tracer.analysis.spans.spans import Trace
    from tracer.model.frames import Head

_MOST: Final = 500_000
"""So many marks may the shapes have that are kept; the least used go first."""


class SpanBatch(NamedTuple):
    """The spans of many requests in their order: rows of their shapes, or made one by one."""

    requests: list[SpanRow | Trace]

    def traces(self) -> list[Trace]:
        """Return one after the other."""
        return [one.trace() if isinstance(one, SpanRow) else one for one in self.requests]


def spans_planner(level: Level) -> Planner[SpanShape]:
    """Return a planner for whoever needs spans, and perhaps tallies."""
    return Planner(lambda found, _names: span_shape(found, level), _MOST)


class SpanBuilder:
    """Makes spans at a level of detail."""

    def __init__(self, level: Level) -> None:
        """Begin with no shape known."""
        self._level: Level = level
        self._planner = spans_planner(level)
        self._locations = LocationCache()

    def build(self, batch: Batch, workers: Mapping[int, Worker]) -> SpanBatch:
        """Plan a batch and return the spans of its timelines."""
        return self.build_planned(self._planner.plan(batch, workers))

    def build_planned(self, planned: PlannedBatch[SpanShape]) -> SpanBatch:
        """Return the spans of a batch that somebody else may read, too."""
        if self._level == "all":  # a garbage collection has a span then
            planned = planned.without({one.request for one in planned.collections[0]})
        rows: dict[int, SpanRow] = {}
        if planned.places:
            made = RowBuilder(planned, self._level).rows(self._origins(planned))
            rows = dict(zip(planned.places, made, strict=True))
        batch, workers = planned.batch, planned.workers
        return SpanBatch(
            [
                rows.get(place) or trace_of(attributed(batch, place, workers), self._level)
                for place in range(len(batch.heads))
            ]
        )

    def _origins(self, planned: PlannedBatch[SpanShape]) -> list[Origin]:
        """Return what is known of requests that isn't in their marks."""
        kernel_ids, edges = None, planned.shapes.thread_base
        called: tuple[str | None, ...]
        origins = []
        for place, head, shape in zip(planned.places, planned.heads, planned.made, strict=True):
            number = planned.batch.workers[place]
            worker, called = planned.workers[number], ()
            if worker.threads:
                if kernel_ids is None:
                    kernel_ids = kernel_threads(planned.batch, planned.shapes)
                numbers = kernel_ids[edges[place] : edges[place + 1]].tolist()
                called = tuple(map(worker.threads.get, numbers))
            origins.append(
                Origin(
                    _facts(head, worker),
                    self._locations.of(number, worker, shape),
                    called,
                    worker.pid,
                    worker.wall_offset_ns,
                )
            )
        return origins


def _facts(head: Head, worker: Worker) -> Facts:
    route = worker.text(head.route)
    path = head.path if head.path and head.path != route else None
    return Facts(
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
        worker.endpoint(head.endpoint),
    )
