"""Timelines to spans, in a thread of its own: a backend that is away holds up no metrics."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from tracer.export.batching import Batcher, Item
from tracer.export.converting import Converter
from tracer.frames import TIMELINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.analysis.drawn import Drawn
    from tracer.analysis.spans import Trace
    from tracer.export.messages import Message
    from tracer.export.outlets import Outlet
    from tracer.exporting import Settings

_TOGETHER: Final = 256
_PATIENCE_S: Final = 0.1
_ENDING_S: Final = 10.0
_MOST: Final = 8 << 20
"""Bytes of timelines that wait."""


class Spans:
    """Takes messages in their order, makes traces of timelines and has them sent."""

    def __init__(
        self,
        settings: Settings,
        outlets: list[Outlet],
        told: Callable[[], None],
        *,
        sheds: bool,
    ) -> None:
        """Begin with no worker known; `told` is called when something became of traces.

        `sheds`: somebody else needs the messages too, who can't wait for a backend.
        """
        self._sheds = sheds
        self._settings, self._outlets, self._told = settings, outlets, told
        self._converter = Converter(settings.detail)
        self._changed = threading.Condition()
        self._messages: deque[Message] = deque()
        self._bytes = self._shed = 0
        self._ending = False
        self._batcher = Batcher(
            outlets,
            delay_s=settings.delay_s,
            queue=settings.queue,
            batch=settings.batch,
            told=told,
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
        self._batcher.hurry(self._ending_s)

    def close(self) -> None:
        """Convert and send what is left, if that is soon."""
        self.hurry()
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()
        self._batcher.close(self._ending_s)

    def tally(self) -> dict[str, int]:
        """Return how many traces and spans became what."""
        tally = self._batcher.tally.document()
        tally["failed_traces"] += self._converter.refused
        return {**tally, "shed_traces": self._shed}

    @property
    def refused(self) -> int:
        """How many timelines could not be read."""
        return self._converter.refused

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
        refused = self._converter.refused
        for trace in self._converter.convert(timelines):
            self._batcher.put(self._packed(trace))
        if self._converter.refused != refused:
            self._told()

    def _packed(self, trace: Trace | Drawn) -> list[Item]:
        pieces = [outlet.pack(trace, self._settings.batch) for outlet in self._outlets]
        several = list(zip(*pieces, strict=True))
        return [
            Item(parcels[0].size, parcels, number == len(several))
            for number, parcels in enumerate(several, 1)
        ]
