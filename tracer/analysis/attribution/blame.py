"""Who had the event loop while a request could have run."""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.attribution.request import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracer.model.frames import Busy

TURN: Final = "turn"
UNNAMED: Final = "unnamed callback"


def is_others(sequence: Any, own: Any) -> Any:
    """Say whether a log's entry isn't a request's own, by number; of one entry or of many."""
    return (sequence != own) | (own == 0)


def unnamed(sequence: int) -> str:
    """Return what an entry without a name is called: some request's, or nobody's we know."""
    return "another request" if sequence else UNNAMED


class Blame:
    """What other work ran in a worker, seen from one request."""

    def __init__(self, busy: Iterable[Busy], sequence: int, names: Sequence[str]) -> None:
        """Take a worker's occupancy; what belongs to request `sequence` itself is left out."""
        self._names = names
        self._by_thread: dict[int, list[Busy]] = {}
        for entry in busy:
            if is_others(entry.sequence, sequence):
                self._by_thread.setdefault(entry.thread, []).append(entry)
        self._ends: dict[int, list[int]] = {}
        for thread, entries in self._by_thread.items():
            entries.sort(key=lambda entry: entry.end_ns)
            self._ends[thread] = [entry.end_ns for entry in entries]

    def blocker(self, entry: Busy) -> str:
        """Return what ran, as far as it has a name."""
        if 0 < entry.name <= len(self._names):
            return self._names[entry.name - 1]
        return unnamed(entry.sequence)

    def everywhere(self) -> list[tuple[int, int, str]]:
        """Return what others ran on any thread: `(start_ns, end_ns, blocker)`."""
        return [
            (entry.start_ns, entry.end_ns, self.blocker(entry))
            for entries in self._by_thread.values()
            for entry in entries
        ]

    def preemptions(
        self, start_ns: int, end_ns: int, thread: int | None
    ) -> list[tuple[int, int, str]]:
        """Return who had a thread in an interval: clipped, in order, without overlap."""
        found: list[tuple[int, int, str]] = []
        cursor = start_ns
        entries = self._by_thread.get(thread or 0, [])
        first = bisect.bisect_right(self._ends.get(thread or 0, []), start_ns)
        for entry in itertools.islice(entries, first, None):
            low, high = max(entry.start_ns, cursor), min(entry.end_ns, end_ns)
            if low < high:
                found.append((low, high, self.blocker(entry)))
                cursor = high
            if entry.start_ns >= end_ns:
                break
        return found

    def split(
        self, start_ns: int, end_ns: int, thread: int | None, otherwise: Segment
    ) -> list[Segment]:
        """Tile an interval: to the event loop what others ran, the rest like `otherwise`."""
        segments: list[Segment] = []
        cursor = start_ns
        for low, high, blocker in self.preemptions(start_ns, end_ns, thread):
            if cursor < low:
                segments.append(like(otherwise, cursor, low))
            segments.append(Segment(low, high, "event_loop", blocker, state="wait"))
            cursor = high
        if cursor < end_ns:
            segments.append(like(otherwise, cursor, end_ns))
        return segments


def like(segment: Segment, start_ns: int, end_ns: int) -> Segment:
    """Return a segment with the same owner and another interval."""
    if segment.start_ns == start_ns and segment.end_ns == end_ns:
        return segment
    return Segment(
        start_ns,
        end_ns,
        segment.layer,
        segment.detail,
        segment.part,
        segment.phase,
        segment.state,
        segment.thread,
        segment.certainty,
        segment.preempted_on,
    )
