"""A worker as the writer of a recording knows it."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.attribution.worker import Worker

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

RECENT: Final = 4

Progress = tuple[int, int, int]
"""How far its ring was read: position, timelines kept, number of the last one."""


@dataclass(slots=True)
class Source:
    """A worker: what it says of itself, and what it had said when this recording began."""

    number: int
    description: Mapping[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=RECENT))
    written: int = 0
    changed: bool = True
    known: tuple[Worker, int] | None = None
    progress: Progress | None = None
    safe: Progress | None = None

    def since(self) -> dict[str, int]:
        """Return the counters of this recording alone."""
        return {name: n - self.before.get(name, 0) for name, n in self.counters.items()}

    def worker(self) -> Worker:
        """Return the worker as attribution knows it."""
        if self.known is None or self.known[1] != len(self.names):
            made = Worker.from_description(self.description, tuple(self.names))
            self.known = (made, len(self.names))
        return self.known[0]

    def write(self, database: sqlite3.Connection, ring: str) -> None:
        """Write what changed."""
        counters = self.since()
        row = (self.number, ring, json.dumps(self.description), counters.get("dropped", 0))
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
                for number, text in enumerate(self.names[self.written :], self.written + 1)
            ],
        )

    def wrote(self) -> None:
        """Note that what was written is committed."""
        self.written, self.changed, self.safe = len(self.names), False, self.progress

    def restart(self) -> None:
        """Begin again in another recording."""
        self.before, self.written, self.changed = dict(self.counters), 0, True


def read_sources(database: sqlite3.Connection) -> dict[str, Source]:
    """Return the workers of a recording by their rings, as its last writer knew them."""
    found: dict[str, Source] = {}
    rows = database.execute(
        "SELECT worker.ring, id, description, counters, position, kept, last, before "
        "FROM worker LEFT JOIN progress ON progress.ring = worker.ring ORDER BY id"
    )
    for ring, number, description, counters, *progress, before in rows.fetchall():
        one = found[ring] = Source(number, json.loads(description))
        one.before = json.loads(before or "{}")
        since = json.loads(counters)
        one.counters = {name: n + one.before.get(name, 0) for name, n in since.items()}
        if progress[0] is not None:
            one.progress = one.safe = (progress[0], progress[1], progress[2])
        names = "SELECT text FROM name WHERE worker = ? ORDER BY number"
        one.names = [text for (text,) in database.execute(names, (number,))]
        one.wrote()
    return found


def read_workers(database: sqlite3.Connection) -> dict[int, Worker]:
    """Return the workers of a recording by number, as attribution knows them."""
    workers: dict[int, Worker] = {}
    for number, description in database.execute("SELECT id, description FROM worker"):
        names = database.execute(
            "SELECT text FROM name WHERE worker = ? ORDER BY number", (number,)
        )
        workers[number] = Worker.from_description(
            json.loads(description), tuple(text for (text,) in names)
        )
    return workers
