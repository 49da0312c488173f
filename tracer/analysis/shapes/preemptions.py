"""What others ran while requests could have: rows in order of request, place and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


class Preemptions(NamedTuple):
    """Pieces of the places in which requests waited; instants are since each one's start."""

    request: Ints
    place: Ints
    low: Ints
    high: Ints
    who: Ints

    @property
    def length(self) -> Ints:
        """How long each was."""
        return self.high - self.low

    def and_those(self, later: Self) -> Preemptions:
        """Return these and, of each request, those of later places."""
        order = np.argsort(np.concatenate([self.request, later.request]), kind="stable")
        return Preemptions(*(np.concatenate(two)[order] for two in zip(self, later, strict=True)))
