"""What others ran while requests could have: rows in order of request, place and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tracer.analysis.shapes.occupancy import Found

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]


class Preemptions:
    """Pieces of the places in which requests waited; instants are since each one's start."""

    def __init__(self, request: Ints, place: Ints, found: Found, chosen: Flags) -> None:
        """Take the chosen rows of what was found, which are of these requests and places."""
        self.request, self.place = request, place
        self.low, self.high = found.low[chosen], found.high[chosen]
        self.who = found.blocker[chosen]
        self.length: Ints = self.high - self.low
