"""A worker as the writer of a recording knows it."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tracer.analysis.attribution.worker import Worker

if TYPE_CHECKING:
    import sqlite3

RECENT: Final = 4

Progress = tuple[int, int, int]
"""How far its ring was read: position, timelines kept, number of the last one."""


@dataclass(slots=True)
class RecordedWorker:
    """A worker, how far its ring was read, and what this recording has of it already.

    `before` is what it had counted when the recording began, `recent` are its last
    occupancy frames, `written` is how many of its names are in the file.
    """

    number: int
    worker: Worker = field(default_factory=Worker)
    before: dict[str, int] = field(default_factory=dict)
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=RECENT))
    written: int = 0
    changed: bool = True
    progress: Progress | None = None
    safe: Progress | None = None

    def learn(self, worker: Worker) -> None:
        """Know it as that from now on."""
        self.worker, self.changed = worker, True

    def since(self) -> dict[str, int]:
        """Return the counters of this recording alone."""
        return {name: n - self.before.get(name, 0) for name, n in self.worker.counters.items()}

    def write(self, database: sqlite3.Connection, ring: str) -> None:
        """Write what changed."""
        counters = self.since()
        row = (self.number, ring, json.dumps(self.worker.description), counters.get("dropped", 0))
        database.execute(
            "INSERT OR REPLACE INTO worker VALUES (?, ?, ?, ?, ?)", (*row, json.dumps(counters))
        )
        if self.progress is not None:
            database.execute(
                "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?)",
                (ring, *self.progress, json.dumps(self.before)),
            )
        database.executemany(
            "INSERT INTO name VALUES (?, ?, ?)",
            [
                (self.number, number, text)
                for number, text in enumerate(self.worker.names[self.written :], self.written + 1)
            ],
        )

    def wrote(self) -> None:
        """Note that what was written is committed."""
        self.written, self.changed, self.safe = len(self.worker.names), False, self.progress

    def restart(self) -> None:
        """Begin again in another recording."""
        self.before, self.written, self.changed = dict(self.worker.counters), 0, True


def read_recorded_workers(database: sqlite3.Connection) -> dict[str, RecordedWorker]:
    """Return the workers of a recording by their rings, as its last writer knew them."""
    found: dict[str, RecordedWorker] = {}
    workers = read_workers(database)
    rows = database.execute(
        "SELECT worker.ring, id, counters, position, kept, last, before "
        "FROM worker LEFT JOIN progress ON progress.ring = worker.ring ORDER BY id"
    )
    for ring, number, counters, *progress, before in rows.fetchall():
        one = found[ring] = RecordedWorker(number)
        one.before = json.loads(before or "{}")
        since = json.loads(counters)
        all_time = {name: n + one.before.get(name, 0) for name, n in since.items()}
        one.worker = workers[number].counted(all_time)
        if progress[0] is not None:
            one.progress = one.safe = (progress[0], progress[1], progress[2])
        one.wrote()
    return found


def read_workers(database: sqlite3.Connection) -> dict[int, Worker]:
    """Return the workers of a recording by number."""
    workers: dict[int, Worker] = {}
    for number, description in database.execute("SELECT id, description FROM worker").fetchall():
        names = database.execute(
            "SELECT text FROM name WHERE worker = ? ORDER BY number", (number,)
        )
        workers[number] = Worker(json.loads(description), tuple(text for (text,) in names))
    return workers
