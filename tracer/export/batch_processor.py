"""Batches as OpenTelemetry's batch processor makes them, of traces that are encoded already.

https://opentelemetry.io/docs/specs/otel/trace/sdk/#batching-processor
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tracer.export.span_exporters import TraceExporter
    from tracer.export.trace_part import TracePart


_AWAY_S: Final = 3.0


class QueuedPart(NamedTuple):
    """A part of a trace, encoded for each exporter; with its last one the trace is whole."""

    size: int
    by_exporter: tuple[TracePart, ...]
    last: bool


class ExportCounts:
    """Counts traces and spans; a trace is exported when all its pieces are."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.exported_traces = self.exported_spans = 0
        self.failed_traces = self.failed_spans = 0

    def document(self) -> dict[str, int]:
        """Return all of them by name."""
        return dict(vars(self))


class BatchProcessor:
    """Holds at most `queue` spans, and sends them from a thread of its own.

    A batch is sent when there are enough spans for one, or `delay_s` after its first.
    """

    def __init__(
        self,
        exporters: Sequence[TraceExporter],
        *,
        delay_s: float,
        queue: int,
        batch: int,
        on_change: Callable[[], None],
    ) -> None:
        """Export through each of `exporters`; `on_change` is called after each batch."""
        self.counts = ExportCounts()
        self._exporters, self._on_change = exporters, on_change
        self._delay_s, self._most, self._batch = delay_s, queue, batch
        self._changed = threading.Condition()
        self._queue: deque[QueuedPart] = deque()
        self._spans = self._sending = 0
        self._since = 0.0
        self._incomplete = self._ending = False
        self._began = self._until = 0.0
        self.reached: bool | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def enqueue(self, parts: Sequence[QueuedPart]) -> None:
        """Take a trace whole, when there is room for it; once we end it isn't waited for long."""
        count = sum(one.size for one in parts)
        with self._changed:
            while self._spans and self._spans + count > self._most:
                left = self._left()
                if left is not None and left <= 0:
                    self._lose(parts)
                    return
                self._changed.wait(left)
            first = not self._queue
            if first:
                self._since = time.monotonic()
            self._queue.extend(parts)
            self._spans += count
            if first or self._spans >= self._batch:
                self._changed.notify_all()

    def set_deadline(self, timeout_s: float) -> None:
        """Nobody waits for more than this from now on; for less, if the backend was away last."""
        with self._changed:
            if not self._until:
                self._began = time.monotonic()
                self._until = self._began + timeout_s
            self._changed.notify_all()

    def shutdown(self, timeout_s: float) -> None:
        """Send what is left."""
        self.set_deadline(timeout_s)
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            while (self._spans or self._sending) and (self._left() or 0) > 0:
                self._changed.wait(self._left())
        for one in self._exporters:
            one.shutdown()
        self._thread.join(1.0)
        with self._changed:
            self._lose(self._queue)
            self._queue.clear()
        self._on_change()

    def _left(self) -> float | None:
        """Return for how long anybody may still wait, None for ever."""
        if not self._until:
            return None
        until = (
            self._until if self.reached is not False else min(self._until, self._began + _AWAY_S)
        )
        return until - time.monotonic()

    def _lose(self, parts: Iterable[QueuedPart]) -> None:
        for one in parts:
            self._count(one, arrived=False)

    def _run(self) -> None:
        while True:
            batch = self._next()
            if not batch:
                return
            arrived = self._send(batch)
            with self._changed:
                self.reached = arrived
                for one in batch:
                    self._count(one, arrived=arrived)
                self._sending = 0
                self._changed.notify_all()
            self._on_change()

    def _next(self) -> list[QueuedPart]:
        with self._changed:
            while not self._is_due():
                waiting = self._since + self._delay_s - time.monotonic() if self._queue else None
                self._changed.wait(waiting)
            batch: list[QueuedPart] = []
            count = 0
            while self._queue and (not batch or count + self._queue[0].size <= self._batch):
                batch.append(self._queue.popleft())
                count += batch[-1].size
            self._spans -= count
            self._sending = count
            self._since = time.monotonic()
            self._changed.notify_all()
            return batch

    def _is_due(self) -> bool:
        if self._ending:
            return True
        if not self._queue:
            return False
        return self._spans >= self._batch or time.monotonic() >= self._since + self._delay_s

    def _send(self, batch: Sequence[QueuedPart]) -> bool:
        arrived = True
        for place, exporter in enumerate(self._exporters):
            try:
                arrived &= exporter.export([one.by_exporter[place] for one in batch])
            except Exception:  # noqa: BLE001 - an exporter's failure is a lost batch, no more
                arrived = False
        return arrived

    def _count(self, one: QueuedPart, *, arrived: bool) -> None:
        self._incomplete |= not arrived
        if arrived:
            self.counts.exported_spans += one.size
        else:
            self.counts.failed_spans += one.size
        if one.last:
            if self._incomplete:
                self.counts.failed_traces += 1
            else:
                self.counts.exported_traces += 1
            self._incomplete = False
