"""How the file of a recording begins, is taken up again, and makes way for the next."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracer.recording.file import APPLICATION_ID, FORMAT, SCHEMA, RecordingError, is_recording

if TYPE_CHECKING:
    from collections.abc import Mapping


def create(path: Path, meta: Mapping[str, Any]) -> sqlite3.Connection:
    """Create a recording; raise `sqlite3.Error` or `OSError` where it can't be.

    Then nothing is left of the attempt.
    """
    database = sqlite3.connect(path, isolation_level=None)
    try:
        path.chmod(0o600)
        # Before WAL mode, so that the file itself says whose it is, copied at any moment.
        database.execute(f"PRAGMA application_id={APPLICATION_ID}")
        database.execute(f"PRAGMA user_version={FORMAT}")
        database.executescript("BEGIN;" + SCHEMA)
        known = {**meta, "began_unix_ns": time.time_ns(), "state": "open"}
        database.executemany("INSERT INTO meta VALUES (?, ?)", rows(known))
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        # A log beside it tells a recording that is being written from a torn copy.
        database.execute("INSERT OR REPLACE INTO meta VALUES ('state', '\"open\"')")
    except (sqlite3.Error, OSError):
        database.close()
        with contextlib.suppress(OSError):
            _remove(path)
        raise
    return database


def take_up(path: Path) -> sqlite3.Connection:
    """Open a recording to write to it again."""
    database = sqlite3.connect(path, isolation_level=None, timeout=10)
    with contextlib.suppress(sqlite3.OperationalError):
        database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    return database


def rows(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what goes into the table `meta`."""
    return [(key, json.dumps(value)) for key, value in meta.items()]


def rotated(path: Path, number: int) -> tuple[int, Path]:
    """Return the next number, and name `site.0001.tracer`, that no ended recording has."""
    while (target := path.with_name(f"{path.stem}.{number:04d}{path.suffix}")).exists():
        number += 1
    return number, target


def make_way(path: Path) -> None:
    """Remove a recording that is there; refuse to touch anything else."""
    if not path.exists():
        return
    if (not path.is_file() or path.stat().st_size) and not is_recording(path):
        raise RecordingError(f"{path}: not a recording; not replaced")
    _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
