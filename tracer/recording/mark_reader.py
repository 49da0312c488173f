"""The raw marks of a recording, read batch by batch: timelines and who else ran meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis.shapes.batch import Batch
from tracer.model import frames
from tracer.recording.packing import joined, together, unpack_occupancy, unpack_timelines

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from tracer.recording.packing import Timelines
    from tracer.recording.unpacked_cache import Unpacked

    Ints = NDArray[np.int64]

NEWEST: Final = (1 << 62) - 1
"""Beyond the id of every timeline."""

_AT_ONCE: Final = 200_000
"""So many marks are concluded together: of few, numpy's calls cost more than their work."""

_NOBODY: Final = np.zeros((0, 5), np.int64)
_LONGEST_NS: Final = 1 << 44


def batches(
    database: sqlite3.Connection, after: int = 0, until: int = NEWEST
) -> Iterator[tuple[int, Timelines]]:
    """Give the packed timelines of ids from `after + 1` to `until`, with the first one's id."""
    rows = database.execute(
        "SELECT id, pack FROM batch WHERE id > ? AND id <= ? ORDER BY id", (after, until)
    )
    for first, pack in rows:
        yield first, unpack_timelines(pack)


def first_of(database: sqlite3.Connection, after: int) -> int:
    """Return the id before the batch that timeline `after + 1` is in."""
    (first,) = database.execute("SELECT max(id) FROM batch WHERE id <= ?", (after + 1,)).fetchone()
    (beyond,) = database.execute("SELECT max(id + count) FROM batch").fetchone()
    return after if first is None or after + 1 >= beyond else int(first) - 1


def timelines(database: sqlite3.Connection, after: int = 0) -> Iterator[tuple[int, Timelines]]:
    """Give all timelines of ids from `after + 1` on, those not packed yet last."""
    yield from batches(database, after)
    (packed,) = database.execute("SELECT coalesce(max(id + count), 1) - 1 FROM batch").fetchone()
    rows = database.execute(
        "SELECT worker, frame FROM pending WHERE kind = ? ORDER BY id", (frames.TIMELINE,)
    ).fetchall()[max(after - packed, 0) :]
    if rows:
        first = max(after, packed) + 1
        yield first, together([(worker, blob) for worker, blob in rows])


def in_portions(several: Iterable[tuple[int, Timelines]]) -> Iterator[tuple[int, Timelines]]:
    """Give timelines that follow one another in fewer and larger portions."""
    waiting: list[Timelines] = []
    first = marks = 0
    for number, found in several:
        first = first if waiting else number
        waiting.append(found)
        marks += len(found.marks)
        if marks >= _AT_ONCE:
            yield first, joined(waiting)
            waiting, marks = [], 0
    if waiting:
        yield first, joined(waiting)


def next_of(
    database: sqlite3.Connection, after: int, until: int, unpacked: Unpacked
) -> tuple[int, Timelines] | None:
    """Return the first packed timelines of ids in `(after, until]`, with the first one's id."""
    row = database.execute(
        "SELECT id FROM batch WHERE id > ? AND id <= ? ORDER BY id LIMIT 1", (after, until)
    ).fetchone()
    if row is None:
        return None
    kept = unpacked.timelines.take(row[0])
    return (row[0], kept) if kept is not None else next(batches(database, after, until))


def batch_of(database: sqlite3.Connection, found: Timelines, unpacked: Unpacked) -> Batch:
    """Return timelines with the occupancy of their workers meanwhile, ready to be folded."""
    heads = [frames.decode_head(head) for head in found.heads]
    spans: dict[int, tuple[int, int]] = {}
    for worker, head in zip(found.workers, heads, strict=True):
        low, high = spans.get(worker, (head.start_ns, head.finish_ns))
        spans[worker] = (min(low, head.start_ns), max(high, head.finish_ns))
    busy = {worker: occupancy(database, worker, *span, unpacked) for worker, span in spans.items()}
    return Batch(heads, found.workers, found.marks, found.bounds, busy)


def occupancy(
    database: sqlite3.Connection, worker: int, start_ns: int, end_ns: int, unpacked: Unpacked
) -> Ints:
    """Return what a worker logged that overlaps an interval, in order of end."""
    rows = database.execute(
        "SELECT id FROM occupancy WHERE worker = ? AND last_ns > ? AND first_ns < ?",
        (worker, start_ns, end_ns),
    )
    parts = [_entries(database, number, unpacked) for (number,) in rows.fetchall()]
    parts += [
        np.frombuffer(frame, "<i8").reshape(-1, 5).astype(np.int64)
        for (frame,) in database.execute(
            "SELECT frame FROM pending WHERE kind = ? AND worker = ? ORDER BY id",
            (frames.OCCUPANCY, worker),
        )
    ]
    every = np.concatenate(parts) if parts else _NOBODY
    sane = (every[:, 0] >= start_ns - _LONGEST_NS) & (every[:, 1] <= end_ns + _LONGEST_NS)
    overlap = sane & (every[:, 1] > start_ns) & (every[:, 0] < end_ns) & (every[:, 0] < every[:, 1])
    chosen = every[overlap]
    found: Ints = chosen[np.argsort(chosen[:, 1], kind="stable")]
    return found


def _entries(database: sqlite3.Connection, number: int, unpacked: Unpacked) -> Ints:
    found = unpacked.occupancy.get(number)
    if found is None:
        query = "SELECT pack FROM occupancy WHERE id = ?"
        found = unpack_occupancy(database.execute(query, (number,)).fetchone()[0])
        unpacked.occupancy.put(number, found, found.nbytes)
    return found
