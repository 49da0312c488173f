"""Timelines to spans, in a thread of its own: a backend that is away holds up no metrics."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from tracer.export.batch_processor import BatchProcessor, QueuedPart
from tracer.export.converting import Converter
from tracer.model.frames import TIMELINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.export.messages import Message
    from tracer.export.span_exporters import TraceExporter
    from tracer.settings.otlp import Settings

_TOGETHER: Final = 256
_PATIENCE_S: Final = 0.1
_ENDING_S: Final = 10.0
_MOST: Final = 8 << 20
"""Bytes of timelines that wait."""


class SpanPipeline:
    """Takes messages in their order, makes traces of timelines and has them sent."""

    def __init__(
        self,
        settings: Settings,
        exporters: list[TraceExporter],
        on_change: Callable[[], None],
        *,
        sheds: bool,
    ) -> None:
        """Begin with no worker known; `on_change` is called when something became of traces.

        `sheds`: somebody else needs the messages too, who can't wait for a backend.
        """
        self._sheds = sheds
        self._settings, self._exporters, self._on_change = settings, exporters, on_change
        self._converter = Converter(settings.detail)
        self._changed = threading.Condition()
        self._messages: deque[Message] = deque()
        self._bytes = self._shed = 0
        self._ending = False
        self.refused = 0
        """How many timelines could not be read."""
        self._processor = BatchProcessor(
            exporters,
            delay_s=settings.delay_s,
            queue=settings.queue,
            batch=settings.batch,
            on_change=on_change,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, message: Message) -> None:
        """Take a message; where there is no room for a timeline, wait, or shed it whole."""
        with self._changed:
            if message.kind == TIMELINE:
                if self._bytes > _MOST and self._sheds:
                    self._shed += 1
                    return
                self._changed.wait_for(lambda: self._bytes <= _MOST)
                self._bytes += len(message.content)
            self._messages.append(message)
            # Whoever converts has begun to wait for more with the first, and goes on with so many.
            if len(self._messages) in {1, _TOGETHER} or self._bytes > _MOST:
                self._changed.notify_all()

    def hurry(self) -> None:
        """The agent has ended: what is left is sent, if that is soon."""
        self._processor.set_deadline(self._ending_s)

    def close(self) -> None:
        """Convert and send what is left, if that is soon."""
        self.hurry()
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()
        self._processor.shutdown(self._ending_s)

    def tally(self) -> dict[str, int]:
        """Return how many traces and spans became what."""
        tally = self._processor.counts.document()
        tally["failed_traces"] += self.refused
        return {**tally, "shed_traces": self._shed}

    @property
    def _ending_s(self) -> float:
        return min(self._settings.timeout_s, _ENDING_S)

    def _run(self) -> None:
        while messages := self._next():
            timelines = []
            for message in messages:
                if message.kind == TIMELINE:
                    timelines.append((message.worker, message.content))
                else:
                    self._converter.learn(message)
            if timelines:
                self._convert(timelines)

    def _next(self) -> list[Message]:
        """Return what comes next, many or what came within a while; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._ending)
            self._changed.wait_for(self._has_many, _PATIENCE_S)
            several = [self._messages.popleft() for _ in range(min(len(self._messages), _TOGETHER))]
            full = self._bytes > _MOST
            self._bytes -= sum(len(one.content) for one in several if one.kind == TIMELINE)
            if full:
                self._changed.notify_all()
            return several

    def _has_many(self) -> bool:
        return len(self._messages) >= _TOGETHER or self._bytes > _MOST or self._ending

    def _convert(self, timelines: list[tuple[int, bytes]]) -> None:
        try:
            traces = self._encoded(timelines)
        except Exception:  # noqa: BLE001 - one of them is to blame, the others are fine
            traces = [trace for one in timelines for trace in self._encoded_alone(one)]
        for trace in traces:
            self._processor.enqueue(trace)

    def _encoded_alone(self, timeline: tuple[int, bytes]) -> list[list[QueuedPart]]:
        try:
            return self._encoded([timeline])
        except Exception:  # noqa: BLE001 - whatever is wrong with it
            self.refused += 1
            self._on_change()
            return []

    def _encoded(self, timelines: list[tuple[int, bytes]]) -> list[list[QueuedPart]]:
        batch = self._converter.convert(timelines)
        encoded = [one.encode(batch, self._settings.batch) for one in self._exporters]
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
