"""One worker's ring as its agent sees it: what came, what is missing, whether more may come."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracer.analysis.attribution.worker import Worker
from tracer.model import frames
from tracer.ring.layout import RingError
from tracer.ring.reader import Progress, RingReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME: Final = re.compile(r"(\d+-[0-9a-f]{16})-(\d+)\.ring")
_MOST: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look into a ring gave; nothing of it counts before it is settled."""

    frames: tuple[tuple[int, bytes], ...]
    names: tuple[str, ...]
    progress: Progress
    counts: Mapping[str, int]

    @property
    def dropped(self) -> int:
        """How many of the timelines sent so far are missing."""
        return self.progress.last - self.progress.kept


def location_of(name: str) -> tuple[str, int]:
    """Return the process a ring belongs to and which of its rings it is, by its file's name."""
    found = _NAME.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)


class WorkerRing:
    """A ring that is being read, and the account of the timelines that came through it.

    A worker numbers its timelines from 1, across all its rings. Of those up to `last`,
    `kept` came; the rest are dropped. `worker` has no names: they go where frames go.
    """

    def __init__(self, path: Path, recorded: tuple[int, int, int] | None, before: int) -> None:
        """Open a ring where its last reader left it.

        `recorded` is how far that one had come by the recording; `before` is up to which
        number the process's earlier rings are accounted for. Raises `RingError`, `OSError`.
        """
        self.name = path.name
        self.process, self.number = location_of(path.name)
        self.reader = RingReader(path)
        self.superseded = False
        self.worker = Worker()
        self._described = -1
        settled = self.reader.progress()
        if settled.position >= _MOST:
            settled = Progress(0, 0, 0)
        if recorded is not None and recorded[0] >= settled.position:
            settled = Progress(*recorded)
        if not 0 <= settled.kept <= settled.last < _MOST:
            settled = Progress(settled.position, 0, 0)
        if not settled.last:
            settled = Progress(settled.position, before, before)
        self.settled = settled
        self.reader.seek(settled.position)

    def look(self, known_names: int, at_most: int) -> Batch | None:
        """Take what is new; None if nothing is. Raises `RingError` for nonsense."""
        sent = self.reader.counters().sent
        taken = self.reader.take(at_most)
        kept, last = self.settled.kept, self.settled.last
        whole = []
        for kind, number, frame in taken:
            fine = frames.is_whole(kind, frame)
            if kind == frames.TIMELINE:
                if not last < number < _MOST:
                    raise RingError(f"{self.name}: its timelines are out of order")
                last = number
                kept += fine
            if fine:
                whole.append((kind, frame))
        if not self.reader.behind:  # so all that was sent by then is here, or never will be
            last = max(last, min(sent, _MOST))
        version = self.reader.described
        counts = self.reader.counts
        known = (*self.settled[1:], self._described, self.worker.counters)
        if not taken and (kept, last, version, counts) == known:
            return None
        if version != self._described:
            self.worker = self.worker.described(self.reader.description())
        names = self.reader.names(known_names)
        self._described, self.worker = version, self.worker.counted(counts)
        progress = Progress(self.reader.position, kept, last)
        return Batch(tuple(whole), tuple(names), progress, counts)

    def settle(self, batch: Batch) -> None:
        """What was taken is safe: let the worker write over it."""
        self.settled = batch.progress
        self.reader.release(batch.progress.kept, batch.progress.last)

    def undo(self) -> None:
        """What was taken could not be kept: take it again later."""
        self._described = -1
        self.reader.seek(self.settled.position)
        self.reader.forget_names()

    def give_up(self) -> Progress:
        """Have the worker go on in another ring; return the account with what is lost here."""
        kept, last = self.settled.kept, self.settled.last
        with contextlib.suppress(RingError, OSError):
            self.reader.ask_for_another()
            sent = self.reader.counters().sent
            last = max(last, sent if sent < _MOST else 0)
        return Progress(self.settled.position, kept, last)

    def is_over(self) -> bool:
        """Say whether nothing more can come."""
        return self.superseded or not self.reader.is_written()

    def remove(self) -> None:
        """Let go of the ring, and of its memory."""
        self.reader.close()
        with contextlib.suppress(OSError):
            self.reader.path.unlink()
