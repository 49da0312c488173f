"""A recording: one SQLite file with the marks of every request and all it takes to read them.

While it is written it is in WAL mode, so it can be read in place; a clean end folds
everything into the one file, which can then be copied anywhere.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tracer import frames
from tracer.analysis.attribution import Worker, attribute
from tracer.analysis.blame import Blame
from tracer.analysis.client import widen
from tracer.analysis.measurement import SeamStatus
from tracer.sinks.file import (
    APPLICATION_ID,
    FORMAT,
    RecordingError,
    check_file,
    connect,
    has_log,
    reading,
)
from tracer.sinks.occupancy import Occupancy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from tracer.analysis.request import Client, Request
    from tracer.timeline import Mark

__all__ = ["Recording", "RecordingError", "RecordingWriter"]

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE worker (id INTEGER PRIMARY KEY, ring TEXT UNIQUE, description TEXT, dropped INTEGER);
CREATE TABLE name (worker INTEGER, number INTEGER, text TEXT, PRIMARY KEY (worker, number))
    WITHOUT ROWID;
CREATE TABLE timeline (id INTEGER PRIMARY KEY, worker INTEGER, frame BLOB NOT NULL);
CREATE TABLE occupancy (worker INTEGER, frame BLOB NOT NULL);
"""


class RecordingWriter:
    """Writes a new recording; one transaction per batch."""

    def __init__(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Create `path`, replacing a recording that is there; nothing else is replaced."""
        _make_way(path)
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        # Before WAL mode, so that the file itself says whose it is, copied at any moment.
        self._database.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._database.execute(f"PRAGMA user_version={FORMAT}")
        self._database.executescript("BEGIN;" + _SCHEMA + "COMMIT;")
        self._set_meta({**meta, "state": "open"})
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._workers: dict[str, int] = {}
        self._names: dict[str, int] = {}

    def suspend(self) -> None:
        """Let go of the file; SQLite's connections don't survive a fork."""
        self._database.close()

    def resume(self) -> None:
        """Take the file up again."""
        self._database = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._set_meta({"state": "open"})

    def begin(self) -> None:
        """Begin a batch."""
        self._database.execute("BEGIN")

    def commit(self) -> None:
        """Make the batch readable."""
        self._database.execute("COMMIT")

    def worker(self, ring: str, description: Mapping[str, Any], dropped: int) -> None:
        """Note or update what is known of a worker."""
        text = json.dumps(description)
        if ring in self._workers:
            self._database.execute(
                "UPDATE worker SET description = ?, dropped = ? WHERE id = ?",
                (text, dropped, self._workers[ring]),
            )
            return
        cursor = self._database.execute(
            "INSERT INTO worker (ring, description, dropped) VALUES (?, ?, ?)",
            (ring, text, dropped),
        )
        self._workers[ring] = int(cursor.lastrowid or 0)
        self._names[ring] = 0

    def known_names(self, ring: str) -> int:
        """Return how many of a worker's names are written already."""
        return self._names[ring]

    def names(self, ring: str, names: list[str]) -> None:
        """Append to a worker's name table."""
        known = self._names[ring]
        self._database.executemany(
            "INSERT INTO name VALUES (?, ?, ?)",
            [(self._workers[ring], known + i, text) for i, text in enumerate(names, 1)],
        )
        self._names[ring] = known + len(names)

    def frame(self, ring: str, kind: int, frame: bytes) -> None:
        """Write one frame of a worker."""
        table = "timeline" if kind == frames.TIMELINE else "occupancy"
        self._database.execute(
            f"INSERT INTO {table} (worker, frame) VALUES (?, ?)",  # noqa: S608 - two constants
            (self._workers[ring], zlib.compress(frame, 1)),
        )

    def close(self) -> None:
        """End cleanly: fold everything into the one file."""
        self._set_meta({"state": "closed"})
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.OperationalError):
            self._database.execute("PRAGMA journal_mode=DELETE")
        self._database.close()

    def _set_meta(self, meta: Mapping[str, Any]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            [(key, json.dumps(value)) for key, value in meta.items()],
        )


class Recording:
    """Reads a recording, also while it is being written."""

    def __init__(self, path: Path, *, check_complete: bool = True) -> None:
        """Open `path`; raise `RecordingError` for anything that isn't a whole recording."""
        self.path = path
        check_file(path)
        logged = has_log(path)
        self._database = connect(path, logged=logged)
        try:
            self._begin(logged=logged, check_complete=check_complete)
        except BaseException:
            self._database.close()
            raise

    def _begin(self, *, logged: bool, check_complete: bool) -> None:
        with reading(self.path):
            self._database.execute("BEGIN")
            rows = self._database.execute("SELECT key, value FROM meta")
            self.meta: dict[str, Any] = {key: json.loads(value) for key, value in rows}
            state = self.meta["state"]
        if check_complete and state != "closed" and not logged:
            raise RecordingError(
                f"{self.path}: a torn copy, taken while the recording was being written; "
                "copy it after its server has ended"
            )
        with reading(self.path):
            self._workers = self._read_workers()

    @property
    def open(self) -> bool:
        """Whether the recording has not been ended cleanly (yet)."""
        return bool(self.meta.get("state") != "closed")

    @property
    def environment(self) -> dict[str, Any]:
        """What the contract's `environment` says, from the workers' own words."""
        for worker in self._workers.values():
            found = worker.description.get("environment")
            if found:
                return dict(found)
        return {}

    @property
    def seams(self) -> tuple[SeamStatus, ...]:
        """The seams of all workers, each once; a refusal anywhere is shown."""
        found: dict[str, SeamStatus] = {}
        for worker in self._workers.values():
            for seam in worker.description.get("seams", ()):
                status = SeamStatus(seam["seam"], seam["status"], seam.get("reason"))
                known = found.get(status.seam)
                if known is None or known.status == "installed":
                    found[status.seam] = status
        return tuple(found[name] for name in sorted(found))

    @property
    def dropped(self) -> int:
        """How many frames workers had no room for."""
        with reading(self.path):
            (dropped,) = self._database.execute("SELECT sum(dropped) FROM worker").fetchone()
            return int(dropped or 0)

    def count(self) -> int:
        """Return how many requests are recorded."""
        with reading(self.path):
            return int(self._database.execute("SELECT count(*) FROM timeline").fetchone()[0])

    def requests(
        self,
        clients: Mapping[str, Client] | None = None,
        network_floor_ns: int | None = None,
    ) -> Iterator[Request]:
        """Give every request, attributed; with `clients` (by trace id) theirs, on their clock."""
        with reading(self.path):
            occupancy = {number: self._occupancy(number) for number in self._workers}
        for worker_id, head, marks in self._timelines():
            worker = self._workers[worker_id]
            client = clients.get(f"{head.trace_id:032x}") if clients is not None else None
            if clients is not None and client is None:
                continue
            since = min(head.start_ns, client.send_ns) if client else head.start_ns
            busy = occupancy[worker_id].between(since, head.finish_ns)
            request = attribute(head, marks, worker, busy)
            if client is not None:
                earlier = Blame(busy, head.sequence, worker.names).everywhere()
                request = widen(request, client, earlier, network_floor_ns or 0)
            yield request

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _timelines(self) -> Iterator[tuple[int, frames.Head, list[Mark]]]:
        with reading(self.path):
            rows = self._database.execute(
                "SELECT worker, frame FROM timeline JOIN worker ON worker.id = worker "
                "ORDER BY timeline.id"
            )
        while True:
            with reading(self.path):
                row = rows.fetchone()
                if row is None:
                    return
                head, marks = frames.decode_timeline(zlib.decompress(row[1]))
            yield row[0], head, marks

    def _read_workers(self) -> dict[int, Worker]:
        workers: dict[int, Worker] = {}
        for number, description in self._database.execute("SELECT id, description FROM worker"):
            names = self._database.execute(
                "SELECT text FROM name WHERE worker = ? ORDER BY number", (number,)
            )
            workers[number] = Worker.from_description(
                json.loads(description), tuple(text for (text,) in names)
            )
        return workers

    def _occupancy(self, worker: int) -> Occupancy:
        rows = self._database.execute("SELECT frame FROM occupancy WHERE worker = ?", (worker,))
        entries = [
            entry for (blob,) in rows for entry in frames.decode_occupancy(zlib.decompress(blob))
        ]
        return Occupancy(entries)


def _make_way(path: Path) -> None:
    """Remove a recording that is there; refuse to touch anything else."""
    if not path.exists():
        return
    if not path.is_file() or path.stat().st_size:
        try:
            Recording(path, check_complete=False).close()
        except RecordingError as error:
            raise RecordingError(f"{error}; not replaced") from error
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
