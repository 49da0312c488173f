"""What the load client and its parent say to each other: a plan in, columns out."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRORS: Final = (None, "timeout", "refused", "lost", "malformed")
TRACE_ID_BYTES: Final = 16
_COLUMNS: Final = (
    ("scheduled", "q"),
    ("send", "q"),
    ("first", "q"),
    ("last", "q"),
    ("own_delay", "q"),
    ("status", "h"),
    ("error", "b"),
    ("fresh", "b"),
)


class Columns:
    """One array a field, one element a request; instants and durations in ns.

    `status` is 0 where there was no answer, `error` an index into `ERRORS`,
    `fresh` is 1 where the request opened its connection.
    """

    __slots__ = ("error", "first", "fresh", "last", "own_delay", "scheduled", "send", "status")

    def __init__(self, count: int) -> None:
        """Make room for `count` requests."""
        for name, code in _COLUMNS:
            setattr(self, name, array(code, [0]) * count)

    scheduled: array[int]
    send: array[int]
    first: array[int]
    last: array[int]
    own_delay: array[int]
    status: array[int]
    error: array[int]
    fresh: array[int]

    def rows(self) -> Iterator[tuple[int, ...]]:
        """Yield one tuple a request, in the order of the fields above."""
        return zip(*(getattr(self, name) for name, _ in _COLUMNS), strict=True)


def encode(summary: dict[str, Any], ids: bytes, columns: Columns, start: int, stop: int) -> bytes:
    """Return requests `[start, stop)` as one JSON line, ids, then the columns."""
    line = json.dumps({**summary, "count": stop - start}).encode()
    parts = [line, b"\n", ids[start * TRACE_ID_BYTES : stop * TRACE_ID_BYTES]]
    parts += [getattr(columns, name)[start:stop].tobytes() for name, _ in _COLUMNS]
    return b"".join(parts)


def decode(data: bytes) -> tuple[dict[str, Any], bytes, Columns]:
    """Return summary, ids and columns; raise ValueError where `data` is torn."""
    line, _, rest = data.partition(b"\n")
    summary: dict[str, Any] = json.loads(line)
    count = int(summary["count"])
    position = count * TRACE_ID_BYTES
    ids, columns = rest[:position], Columns(0)
    for name, code in _COLUMNS:
        column = array(code)
        size = count * column.itemsize
        column.frombytes(rest[position : position + size])
        if len(column) != count:
            raise ValueError(f"the load client's result ends within the column {name!r}")
        setattr(columns, name, column)
        position += size
    return summary, ids, columns
