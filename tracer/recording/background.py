"""What is concluded of raw marks: a row a request, and tallies of all of them.

Conclusions lag behind: a batch is concluded when the one after it is there, so that the
occupancy of its time is complete. `tallied` in meta says until which timeline the stored
tallies reach; whoever reads them concludes the rest.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Final

from tracer.analysis.shapes.tally_builder import VERSION, Row, TallyBuilder
from tracer.analysis.statistics.tally import Tallies
from tracer.recording.file import RecordingError
from tracer.recording.mark_reader import NEWEST, batch_of, in_portions, next_of, timelines
from tracer.recording.tallies import read_tallies, write_tally
from tracer.recording.unpacked_cache import Unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch
    from tracer.analysis.statistics.tally import Key

_SAVED_EVERY_S: Final = 15.0
_SIGN: Final = 1 << 63
_INSERT: Final = "INSERT OR REPLACE INTO request VALUES (" + ", ".join("?" * 23) + ")"  # noqa: S608


class Conclusions:
    """Concludes the packed timelines of a recording, one batch after the other."""

    def __init__(self, builder: TallyBuilder | None = None) -> None:
        """Begin with the first timeline; `builder` is one that knows shapes already."""
        self.tallies = Tallies()
        self.builder = builder or TallyBuilder(self.tallies)
        self.builder.tallies = self.tallies
        self.concluded = 0
        self._saved_at = time.monotonic()
        self._unwritten: list[tuple[object, ...]] = []
        self._dirty: set[Key] = set()
        self._unsaved: set[Key] = set()

    @classmethod
    def resumed(cls, database: sqlite3.Connection) -> Conclusions:
        """Return those of a recording as they were last saved; what came after is done again."""
        self = cls()
        meta = dict(database.execute("SELECT key, value FROM meta").fetchall())
        if json.loads(meta.get("attribution", "null")) == VERSION:
            self.tallies = read_tallies(database.execute("SELECT key, value FROM tally"))
            self.builder.tallies = self.tallies
            self.concluded = json.loads(meta["tallied"])
        return self

    def step(
        self,
        database: sqlite3.Connection,
        workers: Mapping[int, Worker],
        unpacked: Unpacked,
        *,
        ending: bool,
    ) -> None:
        """Conclude a batch and write its rows."""
        if not self._unwritten:
            row = database.execute("SELECT max(id) FROM batch").fetchone()
            newest = row[0] or 0
            until = NEWEST if ending else newest - 1
            following = next_of(database, self.concluded, until, unpacked)
            if following is not None:
                first, found = following
                self.add(first, batch_of(database, found, unpacked), workers)
        database.executemany(_INSERT, self._unwritten)

    def written(self) -> bool:
        """Note that what was written is committed; say whether that was anything."""
        found, self._unwritten = bool(self._unwritten), []
        return found

    def saved(self) -> None:
        """Note that what was saved is committed."""
        self._dirty -= self._unsaved
        self._unsaved = set()

    def next(self) -> Conclusions:
        """Return those of the next recording of the same workers: the shapes are known."""
        return Conclusions(self.builder)

    def add(self, first: int, batch: Batch, workers: Mapping[int, Worker]) -> list[Row]:
        """Conclude timelines; their rows are written by the next step."""
        before = {key: one.requests for key, one in self.tallies.items()}
        rows = self.builder.add(batch, workers)
        self._dirty |= {k for k, one in self.tallies.items() if one.requests != before.get(k)}
        self.concluded = first + len(rows) - 1
        self._unwritten = [
            _stored(first + i, row, worker, head.sequence)
            for i, (row, worker, head) in enumerate(
                zip(rows, batch.workers, batch.heads, strict=True)
            )
        ]
        return rows

    def save(self, database: sqlite3.Connection, *, now: bool) -> None:
        """Write the tallies that changed, now and then."""
        if not self._dirty or self._unwritten:
            return
        if not now and time.monotonic() - self._saved_at < _SAVED_EVERY_S:
            return
        self._saved_at = time.monotonic()
        self._unsaved = set(self._dirty)
        database.executemany(
            "INSERT OR REPLACE INTO tally VALUES (?, ?)",
            [write_tally(key, self.tallies[key]) for key in self._unsaved],
        )
        meta = {"tallied": self.concluded, "attribution": VERSION}
        database.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            [(key, json.dumps(value)) for key, value in meta.items()],
        )


def conclude_rest(
    database: sqlite3.Connection, workers: Mapping[int, Worker], tallies: Tallies, after: int
) -> list[Row]:
    """Add all timelines of ids beyond `after` to tallies; return a row for each, in order."""
    builder, unpacked = TallyBuilder(tallies), Unpacked()
    return [
        row
        for _, found in in_portions(timelines(database, after))
        for row in builder.add(batch_of(database, found, unpacked), workers)
    ]


def redo(path: Path, workers: Mapping[int, Worker]) -> int:
    """Conclude an ended recording anew; return how many requests it has."""
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            return _redo(database, workers)
    except sqlite3.OperationalError as error:
        raise RecordingError(f"{path}: cannot be written ({error})") from error


def _redo(database: sqlite3.Connection, workers: Mapping[int, Worker]) -> int:
    database.execute("BEGIN IMMEDIATE")
    database.execute("DELETE FROM request")
    database.execute("DELETE FROM tally")
    conclusions, unpacked = Conclusions(), Unpacked()
    for first, found in in_portions(timelines(database)):
        conclusions.add(first, batch_of(database, found, unpacked), workers)
        conclusions.step(database, workers, unpacked, ending=True)
        conclusions.written()
    conclusions.save(database, now=True)
    conclusions.saved()
    database.execute("COMMIT")
    return conclusions.concluded


def _stored(number: int, row: Row, worker: int, sequence: int) -> tuple[object, ...]:
    return (
        number,
        _signed(row.request_id),
        row.trace_id.to_bytes(16, "big"),
        worker,
        _signed(sequence),
        row.route,
        row.status,
        row.outcome,
        row.weight,
        row.start_ns,
        row.duration_ns,
        row.after_ns,
        row.hops,
        row.threads,
        row.connections,
        *row.layers,
    )


def _signed(number: int) -> int:
    """Return an unsigned 64-bit number as SQLite takes it."""
    return number - (number & _SIGN) * 2
