"""Who ran when, of one worker."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.frames import Busy


class Occupancy:
    """A worker's log of what its threads ran, found by time."""

    def __init__(self, entries: list[Busy]) -> None:
        """Take all entries of one worker."""
        entries.sort(key=lambda entry: entry.end_ns)
        self._entries = entries
        self._ends = [entry.end_ns for entry in entries]

    def between(self, start_ns: int, end_ns: int) -> list[Busy]:
        """Return the entries that overlap an interval, and a few after it."""
        first = bisect.bisect_right(self._ends, start_ns)
        last = bisect.bisect_left(self._ends, end_ns)
        tail = self._entries[last : last + 64]
        return self._entries[first:last] + [e for e in tail if e.start_ns < end_ns]
