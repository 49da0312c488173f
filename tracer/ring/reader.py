"""The agent's end of a ring, which believes nothing that it reads."""

from __future__ import annotations

import json
import mmap
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.model.frames import COUNTERS as COUNTED
from tracer.ring.layout import (
    ALIGN,
    DESCRIBED,
    DESCRIPTION_SIZE,
    DESCRIPTIONS,
    FIXED,
    FRAME,
    FRAMES,
    HEAD,
    KEPT,
    LAST,
    MAGIC,
    NAMES,
    NAMES_END,
    NAMES_SIZE,
    PAGE,
    REQUESTS,
    SENT,
    TAIL,
    WANTED,
    WRAP,
    WRITTEN,
    RingError,
)
from tracer.ring.locks import is_held

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH: Final = 1024 * 1024


class Counters(NamedTuple):
    """What a worker counts; requests seen include those that are not traced."""

    seen: int
    sent: int
    written: int

    @property
    def dropped(self) -> int:
        """How many timelines found no room."""
        return self.sent - self.written


class Progress(NamedTuple):
    """How far a reader has come: where it is, and of the timelines up to `last` those it has."""

    position: int
    kept: int
    last: int


class RingFrame(NamedTuple):
    """One frame; `number` counts the timelines of a process from 1, and is 0 for other kinds."""

    kind: int
    number: int
    frame: bytes


class RingReader:
    """Reads what a worker writes; nothing counts as read before it is released."""

    def __init__(self, path: Path) -> None:
        """Open a ring; raise `RingError` or `OSError` if the file isn't one."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            self._size = self._measure()
            self._map = mmap.mmap(self._file, PAGE)
        except BaseException:
            os.close(self._file)
            raise
        self._words = memoryview(self._map).cast("Q")
        magic, self.pid, capacity, _ = FIXED.unpack_from(self._map, 0)
        right = magic == MAGIC and FRAMES + capacity == self._size
        if not right or not capacity or capacity % ALIGN:
            self.close()
            raise RingError(f"{path.name} is not a ring")
        self._capacity = int(capacity)
        self._tail = self.progress().position
        self._named = -1

    def progress(self) -> Progress:
        """Return how far the last reader came, by its own word."""
        return Progress(self._words[TAIL], self._words[KEPT], self._words[LAST])

    def counters(self) -> Counters:
        """Return what the worker has counted."""
        self.check()
        sent = self._words[SENT]
        return Counters(max(self._words[REQUESTS], sent), sent, self._words[WRITTEN])

    @property
    def counts(self) -> dict[str, int]:
        """How many requests the worker counted, by `COUNTERS`."""
        self.check()
        return {name: self._words[place] for place, name in enumerate(COUNTED, REQUESTS)}

    @property
    def dropped(self) -> int:
        """How many timelines the worker had no room for."""
        return self.counters().dropped

    @property
    def behind(self) -> int:
        """How many bytes wait to be read."""
        self.check()
        return self._words[HEAD] - self._tail

    @property
    def position(self) -> int:
        """Where the next frame will be taken from."""
        return self._tail

    def seek(self, position: int) -> None:
        """Go on from a place that a reader had come to."""
        self._tail = position

    def check(self) -> None:
        """Raise `RingError` if the file is no longer what it was; before its memory is read."""
        if os.fstat(self._file).st_size != self._size:
            raise RingError(f"{self.path.name} was truncated")

    def take(self, at_most: int = _BATCH) -> list[RingFrame]:
        """Return the next frames, about `at_most` bytes; none when there are no more."""
        self.check()
        head = self._words[HEAD]
        if not 0 <= head - self._tail <= self._capacity or (head | self._tail) % ALIGN:
            raise RingError(f"{self.path.name}: head and tail contradict each other")
        found: list[RingFrame] = []
        while self._tail < head and not found:
            offset = self._tail % self._capacity
            size = min(head - self._tail, self._capacity - offset, at_most)
            data = self._read(FRAMES + offset, size)
            self._split(data, head, found)
        return found

    def _split(self, data: bytes, head: int, found: list[RingFrame]) -> None:
        """Cut whole frames from the front of `data`; one that is longer is read by itself."""
        at = 0
        while at + FRAME.size <= len(data):
            length, kind, number = FRAME.unpack_from(data, at)
            offset = self._tail % self._capacity
            size = -(-(FRAME.size + length) // ALIGN) * ALIGN
            if length == WRAP:
                size = self._capacity - offset
            if offset + size > self._capacity or self._tail + size > head:
                raise RingError(f"{self.path.name}: a frame longer than what was written")
            if length == WRAP:
                self._tail += size
                return
            start, end = at + FRAME.size, at + FRAME.size + length
            if end > len(data):
                if found or at:
                    return
                data = self._read(FRAMES + offset, FRAME.size + length)
            found.append(RingFrame(kind, number, data[start:end]))
            self._tail += size
            at += size

    def release(self, kept: int = 0, last: int = 0) -> None:
        """Give what was taken back to the worker to write over."""
        self.check()
        self._words[KEPT] = kept
        self._words[LAST] = last
        self._words[TAIL] = self._tail

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Give kind and bytes of all there is, and release it."""
        while taken := self.take():
            for kind, _, frame in taken:
                yield kind, frame
            self.release()

    def ask_for_another(self) -> None:
        """Have the worker go on in a new ring after the next frame."""
        self.check()
        self._words[WANTED] = 1

    def is_written(self) -> bool:
        """Say whether a process is there that may write more."""
        return is_held(self._file) or _runs(self.pid)

    def is_linked(self) -> bool:
        """Say whether the file still has its name."""
        return os.fstat(self._file).st_nlink > 0

    @property
    def described(self) -> int:
        """Which of the worker's descriptions stands."""
        return self._words[DESCRIBED] >> 32

    def description(self) -> dict[str, object]:
        """Return what the worker says of itself; empty before it did, or if it is nonsense."""
        self.check()
        stands = self._words[DESCRIBED]
        number, length = stands >> 32, stands & 0xFFFFFFFF
        if not 0 < length <= DESCRIPTION_SIZE:
            return {}
        try:
            text = self._read(DESCRIPTIONS + number % 2 * DESCRIPTION_SIZE, length)
            document = json.loads(text)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def names(self, seen: int) -> list[str]:
        """Return the names given out after the first `seen`; raise `RingError` for nonsense."""
        self.check()
        length = self._words[NAMES_END]
        if length == self._named:
            return []
        if length > NAMES_SIZE:
            raise RingError(f"{self.path.name}: more names than there can be")
        lines = self._read(NAMES, length).splitlines()
        try:
            names = [json.loads(line) for line in lines[seen:]]
        except ValueError:
            names = [None]
        if not all(isinstance(name, str) for name in names):
            raise RingError(f"{self.path.name}: its names are damaged")
        self._named = length
        return names

    def forget_names(self) -> None:
        """Give the names again that were given last."""
        self._named = -1

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._map.close()
        os.close(self._file)

    def _measure(self) -> int:
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode) or found.st_size <= FRAMES:
            raise RingError(f"{self.path.name} is too short for a ring")
        return found.st_size

    def _read(self, offset: int, size: int) -> bytes:
        """Read by a system call: where there is nothing, this is short and no SIGBUS."""
        data = os.pread(self._file, size, offset)
        if len(data) != size:
            raise RingError(f"{self.path.name} was truncated")
        return data


def _runs(pid: int) -> bool:
    """Say whether a process runs; one that has ended and that nobody waits for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return not status.rpartition(")")[2].lstrip().startswith("Z")
