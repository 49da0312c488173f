"""Traces made and exported in a thread of its own: a backend that is away holds up no metrics."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.spans.span_builder import SpanBuilder
from tracer.export.batch_processor import BatchProcessor, QueuedPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.analysis.shapes.planned_batch import PlannedBatch
    from tracer.analysis.spans.span_builder import SpanBatch
    from tracer.export.span_exporters import TraceExporter
    from tracer.export.timeline_buffer import SharedBatch
    from tracer.settings.otlp import Settings

_ENDING_S: Final = 10.0
_MOST: Final = 8 << 20
"""Bytes of timelines that wait."""


class SpanPipeline:
    """Takes batches of timelines in their order, makes traces of them and has them exported."""

    def __init__(
        self,
        settings: Settings,
        exporters: list[TraceExporter],
        on_change: Callable[[], None],
    ) -> None:
        """Begin with nothing; `on_change` is called when something became of traces."""
        self._settings, self._exporters, self._on_change = settings, exporters, on_change
        self._builder = SpanBuilder(settings.detail)
        self._changed = threading.Condition()
        self._waiting: deque[SharedBatch] = deque()
        self._bytes = self._shed = 0
        self._ending = False
        self.refused = 0
        """How many timelines no trace could be made of."""
        self._processor = BatchProcessor(
            exporters,
            delay_s=settings.delay_s,
            queue=settings.queue,
            batch=settings.batch,
            on_change=on_change,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, batch: SharedBatch, *, sheds: bool) -> None:
        """Take timelines; where there is no room for them, shed them whole, or wait."""
        with self._changed:
            if sheds and self._bytes > _MOST:
                self._shed += len(batch.planned.batch.heads)
                return
            self._changed.wait_for(lambda: self._bytes <= _MOST)
            self._waiting.append(batch)
            self._bytes += batch.size
            self._changed.notify_all()

    def refuse(self) -> None:
        """Count a timeline that no trace can be made of."""
        with self._changed:
            self.refused += 1
        self._on_change()

    def limit_wait(self) -> None:
        """The agent has ended: what is left is exported, if that is soon."""
        self._processor.set_deadline(self._ending_s)

    def shutdown(self) -> None:
        """Make and export what is left, if that is soon."""
        self.limit_wait()
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()
        self._processor.shutdown(self._ending_s)

    def counts(self) -> dict[str, int]:
        """Return how many traces and spans became what."""
        found = self._processor.counts.document()
        found["failed_traces"] += self.refused
        return {**found, "shed_traces": self._shed}

    @property
    def _ending_s(self) -> float:
        return min(self._settings.timeout_s, _ENDING_S)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            for trace in self._traces(batch):
                self._processor.enqueue(trace)

    def _next(self) -> SharedBatch | None:
        """Return what comes next; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            if not self._waiting:
                return None
            batch = self._waiting.popleft()
            self._bytes -= batch.size
            self._changed.notify_all()
            return batch

    def _traces(self, batch: SharedBatch) -> list[list[QueuedPart]]:
        planned = batch.planned
        try:
            return self._encoded(self._builder.build_planned(planned))
        except Exception:  # noqa: BLE001 - one of them is to blame, the others are fine
            several = range(len(planned.batch.heads))
            return [trace for place in several for trace in self._alone(planned, place)]

    def _alone(self, planned: PlannedBatch[Any], place: int) -> list[list[QueuedPart]]:
        """Return a timeline's traces, made by itself; none, and it is counted, where that fails."""
        try:
            return self._encoded(self._builder.build(planned.batch.one(place), planned.workers))
        except Exception:  # noqa: BLE001 - this one is to blame
            self.refuse()
            return []

    def _encoded(self, spans: SpanBatch) -> list[list[QueuedPart]]:
        encoded = [one.encode(spans, self._settings.batch) for one in self._exporters]
        traces = []
        for by_exporter in zip(*encoded, strict=True):
            several = list(zip(*by_exporter, strict=True))
            traces.append(
                [
                    QueuedPart(parts[0].size, parts, number == len(several))
                    for number, parts in enumerate(several, 1)
                ]
            )
        return traces
