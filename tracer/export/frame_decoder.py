"""Frames to batches that can be attributed, with what is known of their workers."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis.attribution.worker import Worker
from tracer.analysis.shapes.batch import Batch
from tracer.analysis.shapes.occupancy import near
from tracer.export import messages
from tracer.model import frames
from tracer.model.marks import BUSY_INTS, MARK_INTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracer.model.frames import Head

    Ints = NDArray[np.int64]

_KEPT_NS: Final = 60_000_000_000
"""A request may have begun so long ago; what ran before is forgotten."""

_MOST: Final = 200_000
_NOBODY: Final = np.zeros((0, BUSY_INTS), np.int64)


class WorkerState:
    """A worker, and who had its threads recently."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.worker = Worker()
        self._fresh: list[Ints] = []
        self._log: deque[Ints] = deque()
        self._entries = 0

    def occupy(self, frame: bytes) -> None:
        """Take a frame of its occupancy log."""
        self._fresh.append(np.frombuffer(frame, "<i8").reshape(-1, BUSY_INTS).astype(np.int64))

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


class FrameDecoder:
    """Knows workers by what they say of themselves, and decodes their timelines."""

    def __init__(self) -> None:
        """Know no worker yet."""
        self._states: dict[int, WorkerState] = {}

    def learn(self, message: messages.Message) -> None:
        """Take what a worker says beside its timelines."""
        state = self._state(message.worker)
        if message.kind == frames.OCCUPANCY:
            state.occupy(message.content)
        elif message.kind == messages.DESCRIPTION:
            state.worker = state.worker.described(json.loads(message.content))
        elif message.kind == messages.NAMES:
            state.worker = state.worker.named(json.loads(message.content))

    def decode(self, timelines: Sequence[tuple[int, bytes]]) -> tuple[Batch, dict[int, Worker]]:
        """Return timelines `(worker, frame)` and their workers; raise if one can't be read."""
        parts = [frames.split(frame) for _, frame in timelines]
        heads = [frames.decode_head(head) for head, _ in parts]
        numbers = [number for number, _ in timelines]
        marks = np.frombuffer(b"".join(packed for _, packed in parts), "<i8")
        sizes = [len(packed) // (8 * MARK_INTS) for _, packed in parts]
        workers = {number: self._state(number).worker for number in numbers}
        batch = Batch(
            heads,
            numbers,
            marks.reshape(-1, MARK_INTS).astype(np.int64),
            np.cumsum([0, *sizes]).astype(np.int64),
            {number: self._busy(number, heads, numbers) for number in workers},
        )
        return batch, workers

    def _state(self, number: int) -> WorkerState:
        return self._states.setdefault(number, WorkerState())

    def _busy(self, number: int, heads: list[Head], numbers: list[int]) -> Ints:
        mine = [head for head, whose in zip(heads, numbers, strict=True) if whose == number]
        start = min(head.start_ns for head in mine)
        return self._state(number).busy(start, max(head.finish_ns for head in mine))
