"""Python stacks in a recording: a row for each request that has them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from tracer.model import stackframes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS stacks (request_id INTEGER PRIMARY KEY, pack BLOB NOT NULL)"
)
_SIGN: Final = 1 << 63
_LARGEST: Final = 1 << 28


def keep_stacks(database: sqlite3.Connection, several: Iterable[bytes]) -> None:
    """Write whole frames of stacks; a recording that began without any gets a table first."""
    rows = [(_signed(stackframes.request_of(one)), zlib.compress(one, 1)) for one in several]
    if rows:
        database.execute(TABLE)
        database.executemany("INSERT OR REPLACE INTO stacks VALUES (?, ?)", rows)


def read_stacks(database: sqlite3.Connection, request_id: str) -> stackframes.Stacks | None:
    """Return the stacks of a request (16 hex), None where it has none.

    Raises `zlib.error` or `StacksError` for what can't be read.
    """
    if not _there(database):
        return None
    query = "SELECT pack FROM stacks WHERE request_id = ?"
    row = database.execute(query, (_signed(int(request_id, 16)),)).fetchone()
    if row is None:
        return None
    return stackframes.decode(zlib.decompressobj().decompress(row[0], _LARGEST))


def with_stacks(database: sqlite3.Connection) -> frozenset[str]:
    """Return the ids (16 hex) of the requests that have stacks."""
    if not _there(database):
        return frozenset()
    rows = database.execute("SELECT request_id FROM stacks")
    return frozenset(f"{number % (2 * _SIGN):016x}" for (number,) in rows)


def _there(database: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = 'stacks'"
    return database.execute(query).fetchone() is not None


def _signed(number: int) -> int:
    return number - (number & _SIGN) * 2
