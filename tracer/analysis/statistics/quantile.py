"""The one rule by which a quantile is picked among weighed values."""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def quantile_of(weighed: Iterable[tuple[int, float]], share: float) -> int | None:
    """Return the smallest value that `share` of the weight does not exceed, None of nothing.

    Values come with their weights and in order.
    """
    pairs = list(weighed)
    reached = list(itertools.accumulate(weight for _, weight in pairs))
    if not reached or reached[-1] <= 0:
        return None
    place = bisect.bisect_left(reached, share * reached[-1])
    return pairs[min(place, len(pairs) - 1)][0]
