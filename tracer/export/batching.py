"""Batches as OpenTelemetry's batch processor makes them, of traces that are packed already.

https://opentelemetry.io/docs/specs/otel/trace/sdk/#batching-processor
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tracer.export.outlets import Outlet


_AWAY_S: Final = 3.0


class Item(NamedTuple):
    """A piece of a trace, packed for each outlet; with its last one the trace is whole."""

    size: int
    parcels: tuple[Any, ...]
    last: bool


class Tally:
    """Numbers of traces and spans; a trace is exported when all its pieces are."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.exported_traces = self.exported_spans = 0
        self.failed_traces = self.failed_spans = 0

    def document(self) -> dict[str, int]:
        """Return all of them by name."""
        return dict(vars(self))


class Batcher:
    """Holds at most `queue` spans, and sends them from a thread of its own.

    A batch is sent when there are enough spans for one, or `delay_s` after its first.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet],
        *,
        delay_s: float,
        queue: int,
        batch: int,
        told: Callable[[], None],
    ) -> None:
        """Send through each of `outlets`; `told` is called after each batch."""
        self.tally = Tally()
        self._outlets, self._told = outlets, told
        self._delay_s, self._most, self._batch = delay_s, queue, batch
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._spans = self._sending = 0
        self._since = 0.0
        self._torn = self._ending = False
        self._began = self._until = 0.0
        self.reached: bool | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, items: Sequence[Item]) -> None:
        """Take a trace whole, when there is room for it; once we end it isn't waited for long."""
        count = sum(one.size for one in items)
        with self._changed:
            while self._spans and self._spans + count > self._most:
                left = self._left()
                if left is not None and left <= 0:
                    self._lose(items)
                    return
                self._changed.wait(left)
            first = not self._items
            if first:
                self._since = time.monotonic()
            self._items.extend(items)
            self._spans += count
            if first or self._spans >= self._batch:
                self._changed.notify_all()

    def hurry(self, timeout_s: float) -> None:
        """Nobody waits for more than this from now on; for less, if the backend was away last."""
        with self._changed:
            if not self._until:
                self._began = time.monotonic()
                self._until = self._began + timeout_s
            self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Send what is left."""
        self.hurry(timeout_s)
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            while (self._spans or self._sending) and (self._left() or 0) > 0:
                self._changed.wait(self._left())
        for outlet in self._outlets:
            outlet.close()
        self._thread.join(1.0)
        with self._changed:
            self._lose(self._items)
            self._items.clear()
        self._told()

    def _left(self) -> float | None:
        """Return for how long anybody may still wait, None for ever."""
        if not self._until:
            return None
        until = (
            self._until if self.reached is not False else min(self._until, self._began + _AWAY_S)
        )
        return until - time.monotonic()

    def _lose(self, items: Iterable[Item]) -> None:
        for one in items:
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
            self._told()

    def _next(self) -> list[Item]:
        with self._changed:
            while not self._is_due():
                waiting = self._since + self._delay_s - time.monotonic() if self._items else None
                self._changed.wait(waiting)
            batch: list[Item] = []
            count = 0
            while self._items and (not batch or count + self._items[0].size <= self._batch):
                batch.append(self._items.popleft())
                count += batch[-1].size
            self._spans -= count
            self._sending = count
            self._since = time.monotonic()
            self._changed.notify_all()
            return batch

    def _is_due(self) -> bool:
        if self._ending:
            return True
        if not self._items:
            return False
        return self._spans >= self._batch or time.monotonic() >= self._since + self._delay_s

    def _send(self, batch: Sequence[Item]) -> bool:
        arrived = True
        for place, outlet in enumerate(self._outlets):
            try:
                arrived &= outlet.send([one.parcels[place] for one in batch])
            except Exception:  # noqa: BLE001 - an exporter's failure is a lost batch, no more
                arrived = False
        return arrived

    def _count(self, one: Item, *, arrived: bool) -> None:
        self._torn |= not arrived
        if arrived:
            self.tally.exported_spans += one.size
        else:
            self.tally.failed_spans += one.size
        if one.last:
            if self._torn:
                self.tally.failed_traces += 1
            else:
                self.tally.exported_traces += 1
            self._torn = False
