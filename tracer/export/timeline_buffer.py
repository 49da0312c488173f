"""Timelines held back for a moment, until it is known who else ran meanwhile; then planned, once.

A recording's conclusions wait for the next batch likewise. So spans, metrics and
conclusions are made of the same occupancy, and say the same to the nanosecond.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracer.export.frame_decoder import FrameDecoder
from tracer.model.frames import TIMELINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tracer.analysis.shapes.planned_batch import PlannedBatch
    from tracer.analysis.shapes.planner import Planner
    from tracer.export.messages import Message

_HELD_S: Final = 1.0
_TOGETHER: Final = 256
_MOST: Final = 16 << 20
"""Bytes of timelines that are held; the oldest go on early."""

_logger = logging.getLogger(__name__)


class SharedBatch(NamedTuple):
    """Timelines that spans and metrics are made of, and of how many bytes they were."""

    planned: PlannedBatch[Any]
    size: int


class TimelineBuffer:
    """Takes messages in their order, gives batches of timelines."""

    def __init__(self, planner: Planner[Any], on_unreadable: Callable[[], None]) -> None:
        """Hold nothing; `on_unreadable` is called for each timeline that can't be read."""
        self._planner, self._on_unreadable = planner, on_unreadable
        self._decoder = FrameDecoder()
        self._held: deque[tuple[float, int, bytes]] = deque()
        self._bytes = 0

    def take(self, message: Message) -> None:
        """Hold a timeline back, learn from any other message."""
        if message.kind == TIMELINE:
            self._held.append((time.monotonic(), message.worker, message.content))
            self._bytes += len(message.content)
        else:
            self._decoder.learn(message)

    @property
    def due_in_s(self) -> float:
        """In how many seconds some are due: many after a second, few after two."""
        if not self._held:
            return math.inf
        if self._bytes > _MOST:
            return 0.0
        due = self._held[0][0] + 2 * _HELD_S
        if len(self._held) >= _TOGETHER:
            due = min(due, self._held[_TOGETHER - 1][0] + _HELD_S)
        return max(due - time.monotonic(), 0.0)

    def due(self) -> Iterator[SharedBatch]:
        """Give the batches that are due."""
        while not self.due_in_s:
            moment = time.monotonic()
            yield from self._next(moment if self._bytes > _MOST else moment - _HELD_S)

    def rest(self) -> Iterator[SharedBatch]:
        """Give all that are held."""
        while self._held:
            yield from self._next(math.inf)

    def _next(self, until: float) -> Iterator[SharedBatch]:
        several: list[tuple[int, bytes]] = []
        while self._held and len(several) < _TOGETHER:
            if several and self._held[0][0] > until:
                break
            _, worker, frame = self._held.popleft()
            self._bytes -= len(frame)
            several.append((worker, frame))
        return self._planned(several)

    def _planned(self, timelines: Sequence[tuple[int, bytes]]) -> Iterator[SharedBatch]:
        try:
            planned = self._planner.plan(*self._decoder.decode(timelines))
        except Exception as error:  # noqa: BLE001 - one of them is to blame, the others are fine
            if len(timelines) > 1:
                for one in timelines:
                    yield from self._planned([one])
                return
            _logger.warning("a timeline could not be read (%r)", error)
            self._on_unreadable()
            return
        yield SharedBatch(planned, sum(len(frame) for _, frame in timelines))
