"""One request among many: by its ids, the slowest, the median."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from tracer.analysis.attribution.request import Request

_SIGN = 1 << 63
_ID = re.compile("[0-9a-f]{16}")
_SELECT = "SELECT id FROM request WHERE id <= ? AND (? IS NULL OR route = ?)"
_TRACE = re.compile("[0-9a-f]{32}")


def find(
    database: sqlite3.Connection,
    wanted: str,
    near_ns: int | None,
    route: str | None,
    until: int,
) -> int | None:
    """Return the id of the wanted timeline among those concluded, None if it isn't there."""
    wanted = wanted.lower()
    given: tuple[object, ...] = ()
    if wanted == "slowest":
        query = "ORDER BY duration_ns DESC, id DESC"
    elif wanted == "median":
        query, given = "ORDER BY abs(duration_ns - ?), id", (near_ns or 0,)
    elif _TRACE.fullmatch(wanted):
        query, given = "AND trace_id = ? ORDER BY id", (bytes.fromhex(wanted),)
    elif _ID.fullmatch(wanted):
        number = int(wanted, 16)
        query, given = "AND request_id = ? ORDER BY id", (number - (number & _SIGN) * 2,)
    else:
        return None
    row = database.execute(
        f"{_SELECT} {query} LIMIT 1",
        (until, route, route, *given),
    ).fetchone()
    return None if row is None else int(row[0])


def glances(
    database: sqlite3.Connection, until: int, route: str | None, *, stacked: bool = False
) -> Iterator[tuple[int, int, int, str | None]]:
    """Give id, start, duration and route of the requests concluded, in order of id.

    `stacked`: of those that have stacks; the recording must have a table of them.
    """
    narrowed = "AND request_id IN (SELECT request_id FROM stacks) " if stacked else ""
    yield from database.execute(
        "SELECT id, start_ns, duration_ns, route FROM request "  # noqa: S608 - a constant
        f"WHERE id <= ? AND (? IS NULL OR route = ?) {narrowed}ORDER BY id",
        (until, route, route),
    )


def pick(requests: Sequence[Request], wanted: str, near_ns: int | None) -> Request | None:
    """Return the wanted one of some requests, the first where several are equally near."""
    if not requests:
        return None
    if wanted == "slowest":
        return max(requests, key=lambda request: request.duration_ns)
    if wanted == "median":
        return min(requests, key=lambda request: abs(request.duration_ns - (near_ns or 0)))
    for request in requests:
        if wanted.lower() in {request.request_id, request.trace_id}:
            return request
    return None
