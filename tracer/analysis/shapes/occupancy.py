"""Who else had a thread, for many stretches of time at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from tracer.analysis.attribution.blame import is_others

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_MOST: Final = 1 << 62
_TAIL: Final = 3
"""How many entries that outlast a stretch are looked at: of one thread, one can be in it."""


class Found(NamedTuple):
    """Pieces of stretches in which others ran: in order, without overlap within a stretch."""

    stretch: Ints
    low: Ints
    high: Ints
    blocker: Ints


def near(busy: Ints, start_ns: int, end_ns: int) -> Ints:
    """Return the entries that overlap an interval."""
    overlap = (busy[:, 1] > start_ns) & (busy[:, 0] < end_ns)
    found: Ints = busy[overlap]
    return found


class Log:
    """The occupancy of some workers, by worker and thread, in order of end."""

    def __init__(self, busy: Mapping[int, Ints], names: Mapping[int, Ints]) -> None:
        """Take each worker's entries, with the blockers' numbers of them."""
        self._groups: dict[tuple[int, int], int] = {}
        parts: list[Ints] = []
        for worker, entries in busy.items():
            threads, group = np.unique(entries[:, 2], return_inverse=True)
            first = len(self._groups)
            self._groups.update(
                {(worker, thread): first + i for i, thread in enumerate(threads.tolist())}
            )
            columns = (first + group, entries[:, 1], entries[:, 0], entries[:, 3], names[worker])
            parts.append(np.stack(columns))
        every = np.concatenate(parts, axis=1) if parts else np.zeros((5, 0), np.int64)
        order = np.lexsort((every[1], every[0]))
        self._group, self._end, self._start, self._sequence, self._blocker = every[:, order]
        self._base = int(self._end.min()) if len(order) else 0
        self._span = int(self._end.max()) - self._base + 2 if len(order) else 2
        # Instants of garbage may be so far apart that only their order can be reckoned with.
        self._ranks = None
        if self._span * max(len(self._groups), 1) > _MOST:
            self._ranks = np.unique(self._end)
            self._span = len(self._ranks) + 2
        self._place = self._group * self._span + self._at(self._end, "left")

    def _at(self, instants: Ints, side: Literal["left", "right"]) -> Ints:
        """Return places by instant: an end before it has a lower one, by `right` up to the same."""
        if self._ranks is None:
            return np.clip(instants, self._base - 1, self._base + self._span - 1) - self._base
        return np.searchsorted(self._ranks, instants, side) - (side == "right")

    def group(self, worker: int, thread: int) -> int:
        """Return the number of a worker's thread, -1 for one that logged nothing."""
        return self._groups.get((worker, thread), -1)

    def preemptions(self, group: Ints, low: Ints, high: Ints, sequence: Ints, start: Ints) -> Found:
        """Return what others than the request itself ran in stretches; counted from `start`."""
        wanted = np.flatnonzero((group >= 0) & (low < high))
        if not len(wanted) or not len(self._end):
            return Found(*(np.zeros(0, np.int64) for _ in range(4)))
        base = group[wanted] * self._span
        first = np.searchsorted(self._place, base + self._at(low[wanted], "right"), "right")
        first = np.maximum(first, np.searchsorted(self._group, group[wanted], "left"))
        last = np.searchsorted(self._place, base + self._at(high[wanted], "left"), "left")
        last = np.minimum(last + _TAIL, np.searchsorted(self._group, group[wanted], "right"))
        counts = np.maximum(last - first, 0)
        pair = np.repeat(np.arange(len(wanted)), counts)
        entry = np.arange(len(pair)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        others = is_others(self._sequence[entry], sequence[wanted][pair])
        pair, entry = pair[others], entry[others]
        stretch = wanted[pair]
        begin, end = low[stretch], high[stretch]
        until = np.clip(self._end[entry], begin, end)
        since = np.clip(self._start[entry], begin, end)
        # In order of end: the earlier entry keeps what it had, and one that begins after
        # the stretch ends the search.
        stopped = np.where(self._start[entry] >= end, end, until)
        cursor = np.zeros(len(pair), np.int64)
        cursor[1:] = np.where(pair[1:] == pair[:-1], stopped[:-1], 0)
        since = np.maximum(since, cursor)
        some = since < until
        origin = start[stretch[some]]
        return Found(
            stretch[some],
            since[some] - origin,
            until[some] - origin,
            self._blocker[entry[some]],
        )
