"""Many timelines to spans: by their shapes, and one by one where they have none."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.shapes.planner import Planner, attributed
from tracer.analysis.spans import span_location as where
from tracer.analysis.spans.span_batch import RowBuilder
from tracer.analysis.spans.span_root import Facts
from tracer.analysis.spans.span_row import Origin, SpanRow
from tracer.analysis.spans.span_shape import shape_spans
from tracer.analysis.spans.spans import trace_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch, Shapes
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


class SpanBuilder:
    """Keeps what it found out about shapes."""

    def __init__(self, level: Level) -> None:
        """Draw at a level of detail."""
        self._level: Level = level
        self._planner = Planner(functools.partial(shape_spans, level=level), _MOST)
        self._where = where.Whereabouts()

    def build(self, batch: Batch, workers: Mapping[int, Worker]) -> SpanBatch:
        """Return the spans of a batch's timelines."""
        planner = self._planner
        found = planner.shapes(batch, workers)
        shapes: dict[int, SpanShape] = {}
        for place in range(len(batch.heads)):
            shape = planner.plan(place, batch, found, workers)
            if shape is not None:
                shapes[place] = shape
        sketch = self._sketch(batch, found, shapes)
        needs_fallback = sketch.needs_fallback(planner.book) if shapes else set()
        if needs_fallback:
            shapes = {
                place: one
                for n, (place, one) in enumerate(shapes.items())
                if n not in needs_fallback
            }
            sketch = self._sketch(batch, found, shapes)
        rows: dict[int, SpanRow] = {}
        if shapes:
            places = list(shapes)
            origins = self._origins(batch, found, places, list(shapes.values()), workers)
            made = sketch.rows(planner.busy(batch, workers), planner.book, origins)
            rows = dict(zip(places, made, strict=True))
        return SpanBatch(
            [
                rows.get(place) or trace_of(attributed(batch, place, workers), self._level)
                for place in range(len(batch.heads))
            ]
        )

    def _sketch(self, batch: Batch, found: Shapes, shapes: dict[int, SpanShape]) -> RowBuilder:
        return RowBuilder(batch, found, list(shapes), list(shapes.values()), self._level)

    def _origins(
        self,
        batch: Batch,
        found: Shapes,
        places: list[int],
        chosen: list[SpanShape],
        workers: Mapping[int, Worker],
    ) -> list[Origin]:
        """Return what is known of requests that isn't in their marks."""
        of_kernel, edges = None, found.thread_base
        called: tuple[str | None, ...]
        origins = []
        for place, shape in zip(places, chosen, strict=True):
            number = batch.workers[place]
            worker, called = workers[number], ()
            if worker.threads:
                if of_kernel is None:
                    of_kernel = where.of_kernel(batch, found)
                numbers = of_kernel[edges[place] : edges[place + 1]].tolist()
                called = tuple(map(worker.threads.get, numbers))
            origins.append(
                Origin(
                    _facts(batch.heads[place], worker),
                    self._where.of(number, worker, shape),
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
