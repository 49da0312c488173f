"""A worker's ring: frames through mapped memory, from one process to one reader.

One file holds all that a worker hands over: counters, what the process is, the names
it gave out, and the frames, which go round. The worker holds no descriptor of it that it
would use again, so a full table of descriptors, or a daemon that closes all of them,
harms nothing. The file outlives both sides.

Writing is a copy into mapped memory. Before it, pages that weren't there yet are asked for by
`madvise`, and `fstat` tells a file that has lost some; neither gives the GIL away. So a
ring that was truncated, or memory that has run out, is an error here and not a SIGBUS for the
server. A timeline that doesn't fit is dropped; each has a number of its own, so every one that is
missing is counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from array import array
from typing import TYPE_CHECKING, Any, Final

from tracer.model.frames import TIMELINE
from tracer.ring.layout import (
    ALIGN,
    CAPACITY,
    DESCRIBED,
    DESCRIPTION_SIZE,
    DESCRIPTIONS,
    FIXED,
    FRAME,
    FRAMES,
    LAP,
    MAGIC,
    NAMES,
    NAMES_END,
    NAMES_SIZE,
    REQUESTS,
    WORD,
    new_file,
)
from tracer.ring.memory import LEAVE, RingMemory

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable
    from pathlib import Path

_SHORTEST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


class RingWriter:
    """The worker's end; makes its file when the first frame is written in a process."""

    _memory: Any
    _words: memoryview
    _texts: list[str]
    _counts: array[int]
    _sent: int
    _written: int
    _told: int
    _names: int
    _described: int

    def __init__(
        self,
        directory: Path,
        capacity: int = CAPACITY,
        *,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Write into new rings in `directory`.

        With `prepare` no ring is made before the first request; it is called before a
        ring is made, and may raise `OSError` to have it put off.
        """
        self._directory = directory
        self._capacity = capacity
        self.largest = capacity // 2 - FRAME.size - ALIGN
        self._prepare = prepare
        self._pid = 0
        self._ring: RingMemory | None = None
        self._start()

    def describe(self, document: dict[str, object]) -> None:
        """Take what is known of this process."""
        self._here()
        text = json.dumps(document, default=str).encode()
        if len(text) <= DESCRIPTION_SIZE:
            self._document = text
            if self._ring is not None:
                with contextlib.suppress(OSError):
                    self._write_description(self._ring)

    def open(self) -> None:
        """Make the ring now, while this process may; else the first frame makes it."""
        self._here()
        if self._ring is None and self._prepare is None:
            self._make()

    def write(self, several: list[tuple[int, bytes]], names: list[str]) -> None:
        """Append frames, or drop those there is no room for; timelines are counted."""
        ring = self._ring
        if names or ring is None or self._told < len(self._texts) or os.getpid() != self._pid:
            self._write_slowly(several, names)
            return
        try:
            answer = ring.put(several, True, self._counts)  # noqa: FBT003 - it is C
        except OSError:
            self._let_go()
            self._write_slowly(several, [])
            return
        if answer:
            self._react(answer)

    def _write_slowly(self, several: list[tuple[int, bytes]], names: list[str]) -> None:
        """Write where there may be no ring yet, another process, or names to tell before."""
        self._here()
        self._texts += names
        timelines = sum(kind == TIMELINE for kind, _ in several)
        for _ in range(2):  # a ring that was truncated is followed by another one
            if self._ring is None and (timelines or self._prepare is None):
                self._make()
            ring = self._ring
            if ring is None:
                break
            if self._tell(ring) and self._put(ring, several, fits=self._told == len(self._texts)):
                return
        self._sent += timelines

    def _tell(self, ring: RingMemory) -> bool:
        """Write down names that aren't; False where the ring is there no more."""
        try:
            if self._told < len(self._texts):
                self._write_names(ring)
        except OSError:
            self._let_go()
            return False
        return True

    def _put(self, ring: RingMemory, several: list[tuple[int, bytes]], *, fits: bool) -> bool:
        """Write frames or drop them; False where the ring is there no more."""
        try:
            answer = ring.put(several, fits, self._counts)
        except OSError:
            self._let_go()
            return False
        if answer:
            self._react(answer)
        return True

    def _react(self, answer: int) -> None:
        """Do what the ring's memory answers after writing."""
        if answer == LEAVE:
            self._let_go()
        else:
            self._look_after()

    def count(self, counts: array[int]) -> None:
        """Show how many requests there were, by `COUNTERS`: now, and with each frame to come."""
        self._counts = counts
        if self._ring is None:
            self._make()
        ring = self._ring
        if ring is not None:
            with contextlib.suppress(OSError):  # the next frame finds another ring
                ring.touch(REQUESTS * WORD, WORD)
                ring.show(counts)

    def _write_names(self, ring: RingMemory) -> None:
        """Write down the names that aren't; what doesn't fit is left to be tried again."""
        text = "".join(json.dumps(name) + "\n" for name in self._texts[self._told :]).encode()
        if (end := self._names + len(text)) > NAMES_SIZE:
            return
        ring.touch(NAMES + self._names, len(text))
        self._memory[NAMES + self._names : NAMES + end] = text
        self._names, self._told = end, len(self._texts)
        self._words[NAMES_END] = end

    def _write_description(self, ring: RingMemory) -> None:
        text = self._document
        number = (self._described >> 32) + 1
        start = DESCRIPTIONS + number % 2 * DESCRIPTION_SIZE
        ring.touch(start, len(text))
        self._memory[start : start + len(text)] = text
        self._described = number << 32 | len(text)
        self._words[DESCRIBED] = self._described

    def _here(self) -> None:
        """Begin afresh in a process that is new: nothing of the parent's is ours to hand over."""
        pid = os.getpid()
        if pid != self._pid:
            self._start()
            self._pid = pid

    def _start(self) -> None:
        self._let_go()
        self._making = threading.Lock()
        self._token = int.from_bytes(os.urandom(8), "little")
        self._rings = self._sent = self._written = 0
        self._names = self._told = self._described = 0
        self._texts = []
        self._document = b""
        self._counts = array("Q")
        self._pause = _SHORTEST_PAUSE_S
        self._next_try = self._next_look = 0.0
        self._path = self._directory
        self._inode = 0

    def _make(self) -> None:
        """Make a ring, unless that has just failed; one of several threads does."""
        moment = time.monotonic()
        with self._making:
            if self._ring is None and moment >= self._next_try:
                self._try_to_make(moment)

    def _try_to_make(self, moment: float) -> None:
        try:
            if self._prepare is not None:
                self._prepare()
            self._create()
            self._pause = _SHORTEST_PAUSE_S
        except OSError:
            self._let_go()
            self._next_try = moment + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)

    def _create(self) -> None:
        self._path = self._directory / f"{self._pid}-{self._token:016x}-{self._rings}.ring"
        with new_file(self._path, FRAMES + self._capacity) as (memory, descriptor):
            self._inode = os.fstat(descriptor).st_ino
            self._ring = self._fill(memory, descriptor)  # last: other threads look for it
        self._rings += 1

    def _fill(self, memory: mmap.mmap, descriptor: int) -> RingMemory:
        """Tell the new ring all that the last one knew."""
        FIXED.pack_into(memory, 0, MAGIC, self._pid, self._capacity, self._token)
        ring = RingMemory(memory, self._capacity, self._sent, self._written, LAP, descriptor)
        self._memory, self._words = memory, memoryview(memory).cast("Q")
        ring.show(self._counts)
        self._names = self._told = self._described = 0
        self._write_names(ring)
        if self._document:
            self._write_description(ring)
        return ring

    def _look_after(self) -> None:
        """Nobody seems to read the ring: see whether it is where a reader would find it."""
        moment = time.monotonic()
        if moment < self._next_look:
            return
        self._next_look = moment + _SHORTEST_PAUSE_S
        try:
            if self._prepare is not None:
                self._prepare()
            gone = self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            gone = self._directory.is_dir()
        except OSError:  # another user's by now: there would be no other one
            gone = False
        if gone:
            self._let_go()

    def _let_go(self) -> None:
        if self._ring is not None:
            self._sent, self._written = self._ring.sent, self._ring.written
        self._ring = self._memory = None
        self._words = memoryview(b"")
