"""The mapped memory of a worker's ring: takes frames where there is room for them.

In C where the accelerator is there; what stands here is the same in Python.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from tracer.model.clock import now
from tracer.model.frames import TIMELINE
from tracer.model.native import native
from tracer.ring.layout import (
    ALIGN,
    FRAME,
    FRAMES,
    HEAD,
    PAGE,
    REQUESTS,
    SENT,
    TAIL,
    WANTED,
    WRAP,
    WRITTEN,
)

if TYPE_CHECKING:
    import mmap
    from array import array

TAKEN: Final = 0
DROPPED: Final = 1
UNREAD: Final = 2
"""Taken, but nothing was read for so long that an agent should have come round."""
LEAVE: Final = 3
"""The reader wants the next frames in another ring."""

_NEGLECT_NS: Final = 1_000_000_000
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE, Linux 5.14


class PureRingMemory:
    """Where frames go; `sent` and `written` are the process's counts so far, of all its rings.

    Beyond `lap` bytes they start over once all is read: there the cache still knows the memory,
    and the rest of it is never touched while the reader keeps up.
    """

    __slots__ = (
        *("_capacity", "_guarded", "_lap", "_memory", "_read_ns", "_tail"),
        *("head", "sent", "words", "written"),
    )

    def __init__(  # noqa: PLR0913, PLR0917 - as in C
        self,
        memory: mmap.mmap,
        capacity: int,
        sent: int,
        written: int,
        lap: int,
        descriptor: int = -1,  # noqa: ARG002 - by which C sees whether the file is whole
    ) -> None:
        """Write into `memory`, which holds `capacity` bytes of frames, from their beginning on."""
        self._memory, self._lap = memory, lap
        self._capacity = capacity
        self.words = memoryview(memory).cast("Q")
        self.sent, self.written = sent, written
        self.head = self._tail = 0
        self._guarded = True
        self._read_ns = now()

    def put(self, frames: list[tuple[int, bytes]], fits: bool, counts: array[int]) -> int:  # noqa: FBT001 - as in C
        """Write frames `(kind, content)`, where that `fits`, and move the head.

        Timelines are counted in any case. Raise `OSError` where the memory is there no more:
        then the reader finds none of them, and nothing was counted.
        """
        words, before = self.words, (self.head, self.sent, self.written)
        try:
            fits = self._append_all(frames, fits=fits)
        except BaseException:
            self.head, self.sent, self.written = before
            raise
        self.show(counts)
        words[HEAD] = self.head
        words[SENT] = self.sent
        words[WRITTEN] = self.written
        if words[WANTED]:
            return LEAVE
        if not fits:
            return DROPPED
        return UNREAD if now() - self._read_ns > _NEGLECT_NS else TAKEN

    def _append_all(self, frames: list[tuple[int, bytes]], *, fits: bool) -> bool:
        self.touch(FRAMES + self.head % self._capacity, FRAME.size)
        tail = self.words[TAIL]
        if tail != self._tail:
            self._tail, self._read_ns = tail, now()
        every = fits
        for kind, frame in frames:
            number = 0
            if kind == TIMELINE:
                self.sent = number = self.sent + 1
            every &= fits and self._append(kind, frame, number)
        return every

    def _append(self, kind: int, frame: bytes, number: int) -> bool:
        memory, length = self._memory, len(frame)
        size = -(-(FRAME.size + length) // ALIGN) * ALIGN
        offset = self.head % self._capacity
        to_end = self._capacity - offset
        start, needed = FRAMES + offset, size
        over = offset >= self._lap and size <= offset and self._tail == self.head
        wraps = size > to_end or over
        if wraps:
            self.touch(start, FRAME.size)
            start, needed = FRAMES, to_end + size
        self.touch(start, min(size, self._capacity))
        if needed > self._capacity - (self.head - self._tail) or size > self._capacity // 2:
            return False
        if wraps:
            FRAME.pack_into(memory, FRAMES + offset, WRAP, 0, 0)
        memory[start + FRAME.size : start + FRAME.size + length] = frame
        FRAME.pack_into(memory, start, length, kind, number)
        self.head += needed
        self.written += number > 0
        return True

    def show(self, counts: array[int]) -> None:
        """Show how many requests there were."""
        self.words[REQUESTS : REQUESTS + len(counts)] = counts

    def touch(self, start: int, size: int) -> None:
        """Have the pages of a range there; raise `OSError` where they can't be."""
        if self._guarded:
            begin = start // PAGE * PAGE
            try:
                self._memory.madvise(_POPULATE_WRITE, begin, start + size - begin)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._guarded = False  # an older kernel can't say: as it was allocated, then


if TYPE_CHECKING or native is None:
    RingMemory = PureRingMemory
else:
    RingMemory = native.RingMemory
    native.ring_layout(
        FRAMES, FRAME.size, ALIGN, PAGE, HEAD, SENT, WRITTEN, TAIL, WANTED, REQUESTS, WRAP,
        TAKEN, DROPPED, UNREAD, LEAVE, _NEGLECT_NS, TIMELINE,
    )  # fmt: skip
