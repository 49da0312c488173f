"""What others ran while requests could have: rows by request, in order of place and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tracer.analysis.busy import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


class Taken:
    """Pieces of the places in which requests waited; instants are since each one's start."""

    def __init__(self, count: int, request: Ints, place: Ints, found: Found) -> None:
        """Take rows that lie in order of request, of which there are `count`."""
        self.place, self.low, self.high, self.who = place, found.low, found.high, found.culprit
        self._bounds = np.searchsorted(request, np.arange(count + 1))

    @classmethod
    def nothing(cls, count: int) -> Taken:
        """Return that nobody took anything from so many requests."""
        none = np.zeros(0, np.int64)
        return cls(count, none, none, Found(none, none, none, none))

    @property
    def length(self) -> Ints:
        """How long each is, in nanoseconds."""
        return self.high - self.low

    def among(self, requests: list[int]) -> tuple[Ints, Ints]:
        """Return the rows of some requests, and the place in that list of the one each is of."""
        chosen = np.array(requests, np.int64)
        first, counts = self._bounds[chosen], self._bounds[chosen + 1] - self._bounds[chosen]
        of = np.repeat(np.arange(len(chosen)), counts)
        before = np.repeat(np.cumsum(counts) - counts, counts)
        rows: Ints = np.arange(len(of)) - before + first[of]
        return rows, of

    def of(self, request: int) -> slice:
        """Return where the rows of a request are."""
        return slice(int(self._bounds[request]), int(self._bounds[request + 1]))
