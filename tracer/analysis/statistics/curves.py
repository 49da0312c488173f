"""How durations are spread, as curves: percentiles up to the last few, histograms by octaves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_PER_OCTAVE: Final = 4
_LEAST: Final = 16  # below, quarters of an octave are no whole nanoseconds
_STEPS: Final = 12
_HALVES: Final = 24


def shares(count: float) -> list[float]:
    """Return the shares at which a percentile curve of so many values is worth a point.

    Each halving of what is left has the same number of steps, as HdrHistogram prints them;
    the last one is where a single value remains.
    """
    found = {0.0, 0.5, 0.9, 0.99}
    for half in range(_HALVES):
        if 0.5**half * count < 1:
            break
        left = 0.5**half
        found.update(1 - left + left / 2 * step / _STEPS for step in range(_STEPS))
    return sorted(share for share in found if (1 - share) * count >= 1 or share <= 0.99)  # noqa: PLR2004


def percentile_curve(seen: Sequence[tuple[int, float]]) -> list[list[float]]:
    """Return pairs of a share and the smallest value that it does not exceed, maximum last.

    `seen` are values and their weights, in order of value.
    """
    if not seen:
        return []
    values = np.array([value for value, _ in seen])
    reached = np.cumsum([weight for _, weight in seen])
    wanted = shares(float(reached[-1]))
    places = np.searchsorted(reached, np.array(wanted) * reached[-1])
    found = values[np.minimum(places, len(values) - 1)].tolist()
    return [*([share, ns] for share, ns in zip(wanted, found, strict=True)), [1.0, seen[-1][0]]]


def histogram(seen: Sequence[tuple[int, float]]) -> list[list[float]]:
    """Return `[from, to, how many]` for each quarter of an octave that has any, in order.

    A logarithmic scale has no place for 0: what took no time at all is left out.
    """
    found: dict[int, float] = {}
    for value, weight in seen:
        if value <= 0:
            continue
        place = math.floor(math.log2(max(value, _LEAST)) * _PER_OCTAVE)
        found[place] = found.get(place, 0.0) + weight
    return [
        [round(2 ** (place / _PER_OCTAVE)), round(2 ** ((place + 1) / _PER_OCTAVE)), times]
        for place, times in sorted(found.items())
    ]
