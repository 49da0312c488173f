"""Frames to traces: what the exporting process knows of workers, and what it makes of it."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.attribution.worker import Worker
from tracer.analysis.shapes.batch import Batch
from tracer.analysis.shapes.occupancy import near
from tracer.analysis.spans.span_builder import SpanBuilder
from tracer.analysis.spans.span_levels import DEFAULT, Level
from tracer.export import messages
from tracer.model import frames
from tracer.model.marks import BUSY_INTS, MARK_INTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracer.analysis.spans.span_builder import SpanBatch
    from tracer.model.frames import Head

    Ints = NDArray[np.int64]

_KEPT_NS: Final = 60_000_000_000
"""A request may have begun so long ago; what ran before is forgotten."""

_MOST: Final = 200_000
_NOBODY: Final = np.zeros((0, BUSY_INTS), np.int64)


class Known:
    """A worker, as its own words describe it, and who had its threads recently."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.description: dict[str, Any] = {}
        self.names: list[str] = []
        self._worker: Worker | None = None
        self._fresh: list[Ints] = []
        self._log: deque[Ints] = deque()
        self._entries = 0

    def describe(self, description: dict[str, Any]) -> None:
        """Take what it says of itself."""
        self.description, self._worker = description, None

    def name(self, names: Sequence[str]) -> None:
        """Append to its name table."""
        self.names.extend(names)
        self._worker = None

    def occupy(self, frame: bytes) -> None:
        """Take a frame of its occupancy log."""
        self._fresh.append(np.frombuffer(frame, "<i8").reshape(-1, BUSY_INTS).astype(np.int64))

    @property
    def worker(self) -> Worker:
        """It, as attribution knows it."""
        if self._worker is None:
            self._worker = Worker.from_description(self.description, tuple(self.names))
        return self._worker

    def busy(self, start_ns: int, end_ns: int) -> Ints:
        """Return what of its log overlaps an interval, in order of end."""
        if self._fresh:
            self._keep(np.concatenate(self._fresh))
            self._fresh = []
        several = [near(one, start_ns, end_ns) for one in self._log if one[-1, 1] > start_ns]
        every = np.concatenate(several) if several else _NOBODY
        if len(several) > 1:
            every = every[np.argsort(every[:, 1], kind="stable")]
        return every

    def _keep(self, fresh: Ints) -> None:
        """Keep what came since, and forget what is too old to matter."""
        fresh = fresh[fresh[:, 0] < fresh[:, 1]]
        if not len(fresh):
            return
        self._log.append(fresh[np.argsort(fresh[:, 1], kind="stable")])
        self._entries += len(fresh)
        newest = max(int(one[-1, 1]) for one in self._log)
        while len(self._log) > 1 and (
            self._entries > _MOST or self._log[0][-1, 1] < newest - _KEPT_NS
        ):
            self._entries -= len(self._log.popleft())


class Converter:
    """Makes traces of timelines at a level of detail."""

    def __init__(self, detail: Level = DEFAULT) -> None:
        """Know no worker yet."""
        self._drawer = SpanBuilder(detail)
        self.workers: dict[int, Known] = {}

    def known(self, number: int) -> Known:
        """Return a worker by its number."""
        return self.workers.setdefault(number, Known())

    def learn(self, message: messages.Message) -> None:
        """Take what a worker tells beside its timelines."""
        known = self.known(message.worker)
        if message.kind == frames.OCCUPANCY:
            known.occupy(message.content)
        elif message.kind == messages.DESCRIPTION:
            known.describe(json.loads(message.content))
        elif message.kind == messages.NAMES:
            known.name(json.loads(message.content))

    def convert(self, timelines: Sequence[tuple[int, bytes]]) -> SpanBatch:
        """Return the traces of timelines `(worker, frame)`; raise if one can't be read."""
        return self._drawer.build(*self.batch_of(timelines))

    def batch_of(self, timelines: Sequence[tuple[int, bytes]]) -> tuple[Batch, dict[int, Worker]]:
        """Return timelines ready to be attributed, and their workers."""
        parts = [frames.split(frame) for _, frame in timelines]
        heads = [frames.decode_head(head) for head, _ in parts]
        numbers = [number for number, _ in timelines]
        marks = np.frombuffer(b"".join(packed for _, packed in parts), "<i8")
        sizes = [len(packed) // (8 * MARK_INTS) for _, packed in parts]
        workers = {number: self.known(number).worker for number in numbers}
        batch = Batch(
            heads,
            numbers,
            marks.reshape(-1, MARK_INTS).astype(np.int64),
            np.cumsum([0, *sizes]).astype(np.int64),
            {number: self._busy(number, heads, numbers) for number in workers},
        )
        return batch, workers

    def _busy(self, number: int, heads: list[Head], numbers: list[int]) -> Ints:
        mine = [head for head, whose in zip(heads, numbers, strict=True) if whose == number]
        start = min(head.start_ns for head in mine)
        return self.known(number).busy(start, max(head.finish_ns for head in mine))
