"""The raw marks of a recording while it is written: packed ones, and the newest apart."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tracer.model import frames
from tracer.recording.stacks import keep_stacks
from tracer.recording.unpacked_cache import Unpacked

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    Frames = list[tuple[int, bytes]]

PACKED: Final = 128
"""So many timelines are packed together: more gain little, and the last ones wait longer."""

_MOST: Final = 256
_BUSY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Marks:
    """What a committed transaction left: `packed` ids, then the `newest` frames apart.

    Each frame comes with its worker's number. Writing gives the state that holds once
    the transaction is committed; until then this one does.
    """

    packed: int = 0
    newest: Frames = field(default_factory=list)
    busy: Frames = field(default_factory=list)
    since_s: float = 0.0
    unpacked: Unpacked = field(default_factory=Unpacked)

    @classmethod
    def none(cls, *, keep: bool) -> Marks:
        """Return the beginning; `keep` what is packed where somebody will ask for it again."""
        return cls(unpacked=Unpacked(keep=keep))

    @classmethod
    def resumed(cls, database: sqlite3.Connection, unpacked: Unpacked) -> Marks:
        """Return what the last writer of a recording left."""
        (packed,) = database.execute("SELECT coalesce(sum(count), 0) FROM batch").fetchone()
        kept: dict[int, Frames] = {frames.TIMELINE: [], frames.OCCUPANCY: []}
        for kind, *one in database.execute("SELECT kind, worker, frame FROM pending ORDER BY id"):
            kept[kind].append((one[0], one[1]))
        newest, busy = kept[frames.TIMELINE], kept[frames.OCCUPANCY]
        return cls(packed, newest, busy, time.monotonic(), unpacked)

    def add(self, database: sqlite3.Connection, new: Sequence[tuple[int, int, bytes]]) -> Marks:
        """Write frames `(kind, worker, frame)`; pack them where there are enough."""
        fresh = [(worker, frame) for kind, worker, frame in new if kind == frames.TIMELINE]
        busy = [(worker, frame) for kind, worker, frame in new if kind == frames.OCCUPANCY]
        keep_stacks(database, [frame for kind, _, frame in new if kind == frames.STACKS])
        newest, every = [*self.newest, *fresh], [*self.busy, *busy]
        whole = len(newest) - len(newest) % PACKED
        if whole:
            return replace(self, newest=newest, busy=every).pack(database, whole)
        if sum(len(frame) for _, frame in every) > _BUSY:
            self._pack_busy(database, every)
            database.execute("DELETE FROM pending WHERE kind = ?", (frames.OCCUPANCY,))
            busy = every = []
        _keep(database, frames.TIMELINE, fresh)
        _keep(database, frames.OCCUPANCY, busy)
        since = self.since_s if self.newest else time.monotonic()
        return replace(self, newest=newest, busy=every, since_s=since)

    def pack(self, database: sqlite3.Connection, count: int | None = None) -> Marks:
        """Pack the oldest `count` of the newest timelines, all of them by default."""
        from tracer.recording.packing import pack_timelines, together

        count = len(self.newest) if count is None else count
        for start in range(0, count, _MOST):
            several = self.newest[start : min(start + _MOST, count)]
            found, first = together(several), self.packed + start + 1
            instants = found.marks[:, 1]
            low, high = (int(instants.min()), int(instants.max())) if len(instants) else (0, 0)
            row = (first, len(several), low, high, pack_timelines(found))
            database.execute("INSERT INTO batch VALUES (?, ?, ?, ?, ?)", row)
            self.unpacked.timelines.put(first, found, found.marks.nbytes)
        self._pack_busy(database, self.busy)
        database.execute("DELETE FROM pending")
        left = self.newest[count:]
        _keep(database, frames.TIMELINE, left)
        since = time.monotonic()
        return replace(self, packed=self.packed + count, newest=left, busy=[], since_s=since)

    def _pack_busy(self, database: sqlite3.Connection, several: Frames) -> None:
        import numpy as np

        from tracer.recording.packing import pack_occupancy

        for worker in dict.fromkeys(worker for worker, _ in several):
            plain = b"".join(frame for whose, frame in several if whose == worker)
            entries = np.frombuffer(plain, "<i8").reshape(-1, 5)
            if len(entries):
                row = (worker, int(entries[:, 0].min()), int(entries[:, 1].max()))
                number = database.execute(
                    "INSERT INTO occupancy (worker, first_ns, last_ns, pack) VALUES (?, ?, ?, ?)",
                    (*row, pack_occupancy(entries)),
                ).lastrowid
                if number is not None:
                    self.unpacked.occupancy.put(number, entries, entries.nbytes)


def _keep(database: sqlite3.Connection, kind: int, several: Frames) -> None:
    # As they are: they are packed soon, and compressing them twice is dear.
    database.executemany(
        "INSERT INTO pending (kind, worker, frame) VALUES (?, ?, ?)",
        [(kind, worker, frame) for worker, frame in several],
    )
