"""The file of a recording, before anything in it is believed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracer.model.frames import FrameError
from tracer.ring.locks import is_held

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID: Final = 0x74726163
FORMAT: Final = 2

SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE worker (id INTEGER PRIMARY KEY, ring TEXT UNIQUE, description TEXT, dropped INTEGER,
    counters TEXT);
CREATE TABLE name (worker INTEGER, number INTEGER, text TEXT, PRIMARY KEY (worker, number))
    WITHOUT ROWID;
CREATE TABLE batch (id INTEGER PRIMARY KEY, count INTEGER, first_ns INTEGER, last_ns INTEGER,
    pack BLOB NOT NULL);
CREATE TABLE occupancy (id INTEGER PRIMARY KEY, worker INTEGER, first_ns INTEGER, last_ns INTEGER,
    pack BLOB NOT NULL);
CREATE INDEX occupancy_by_time ON occupancy (worker, last_ns);
CREATE TABLE pending (id INTEGER PRIMARY KEY, kind INTEGER, worker INTEGER, frame BLOB NOT NULL);
CREATE TABLE request (id INTEGER PRIMARY KEY, request_id INTEGER, trace_id BLOB, worker INTEGER,
    sequence INTEGER, route TEXT, status INTEGER, outcome TEXT, weight REAL, start_ns INTEGER,
    duration_ns INTEGER, after_ns INTEGER, hops INTEGER, threads INTEGER, connections INTEGER,
    server INTEGER, event_loop INTEGER, handler INTEGER, handoff INTEGER, middleware INTEGER,
    view INTEGER, network INTEGER, unattributed INTEGER);
CREATE TABLE tally (key TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE progress (ring TEXT PRIMARY KEY, position INTEGER, kept INTEGER, last INTEGER,
    before TEXT) WITHOUT ROWID;
"""
"""Raw marks: `batch` and `occupancy`, the newest in `pending`. Conclusions: `request`, `tally`.

A timeline's id counts those recorded from 1; a batch has that of its first one. `progress`
is how far each ring was read, written together with what came of it: so an agent that was
killed is continued with nothing lost and nothing twice.
"""

_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100
_LARGEST_PAGE: Final = 65536
_DAMAGE: Final = (
    sqlite3.Error,
    zlib.error,
    FrameError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    IndexError,
    struct.error,
)


class RecordingError(Exception):
    """A file that cannot be read as a recording; the message says why in one line."""


def check_file(path: Path) -> None:
    """Tell what isn't a recording from what is a part of one, before SQLite guesses."""
    try:
        if not path.is_file():
            what = "not a recording" if path.exists() else "no such recording"
            raise RecordingError(f"{path}: {what}")
        with path.open("rb") as file:
            header = file.read(_HEADER)
        size = path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror})") from error
    if not header.startswith(_MAGIC) or len(header) < _HEADER:
        raise RecordingError(f"{path}: {'not a recording' if header else 'empty'}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise RecordingError(f"{path}: not a recording of tracer's")
    written = int.from_bytes(header[60:64], "big")
    if written != FORMAT:
        age = "a newer" if written > FORMAT else "an older"
        raise RecordingError(f"{path}: of {age} format than this tracer reads")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = _LARGEST_PAGE if page_size == 1 else page_size
    if size < page_size * int.from_bytes(header[28:32], "big"):
        raise RecordingError(f"{path}: a torn copy, truncated")


def is_recording(path: Path) -> bool:
    """Say whether a file is a recording, of whatever format and in whatever state."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return False
    ours = int.from_bytes(header[68:72], "big") == APPLICATION_ID
    return len(header) == _HEADER and header.startswith(_MAGIC) and ours


def has_log(path: Path) -> bool:
    """Say whether SQLite's write-ahead log lies beside the file."""
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except OSError:
        return False


def is_taken(path: Path) -> bool:
    """Say whether a process has it open by SQLite: in WAL mode it holds a lock for as long."""
    try:
        with path.open("rb") as file:
            return is_held(file.fileno())
    except OSError:
        return False


def connect(path: Path, *, logged: bool) -> sqlite3.Connection:
    """Open the file for reading; without a log beside it, keep SQLite from making one."""
    quoted = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    way = "mode=ro" if logged else "mode=ro&immutable=1"
    try:
        return sqlite3.connect(f"file:{quoted}?{way}", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise RecordingError(f"{path}: cannot be read ({error})") from error


def read_meta(path: Path) -> dict[str, Any]:
    """Return what a recording says of itself; raise `RecordingError` where it can't be read."""
    check_file(path)
    with contextlib.closing(connect(path, logged=has_log(path))) as database, reading(path):
        rows = database.execute("SELECT key, value FROM meta")
        return {key: json.loads(value) for key, value in rows}


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one line that the file is damaged, whatever shows it."""
    try:
        yield
    except _DAMAGE as error:
        what = str(error).replace("\n", " ") or type(error).__name__
        raise RecordingError(f"{path}: damaged ({what})") from error
