"""Weighted means and quantiles: what every summary is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

QUANTILES = (50, 90, 99)
_DIGITS_BITS = 11
"""Bits that tell 2,048 values apart: three significant digits."""
_WEIGHT_UNIT = 100
"""A weight such as 3.33 is counted in hundredths."""


def finite(value: float) -> float | None:
    """Return `value`, or None where no JSON can hold it."""
    return float(value) if math.isfinite(value) else None


def ratio(part: float, whole: float) -> float:
    """Divide; nothing of nothing is nothing."""
    return float(part / whole) if whole else 0.0


def mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted mean, 0 where there is nothing."""
    total = math.fsum(weights)
    return ratio(math.fsum(v * w for v, w in zip(values, weights, strict=True)), total)


def quantile(values: Sequence[float], weights: Sequence[float], share: float) -> int:
    """Return the smallest value that `share` of the weight does not exceed, 0 of nothing."""
    total = math.fsum(weights)
    if not total:
        return 0
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(np.asarray(weights, dtype=float)[order])
    place = min(int(np.searchsorted(reached, share * reached[-1])), len(order) - 1)
    return round(float(np.asarray(values)[order[place]]))


def latency(values: Sequence[int], weights: Sequence[float] | None = None) -> dict[str, int]:
    """Return the mean, exact, and percentiles of latencies to three significant digits.

    A percentile is what an HDR histogram says: the upper end of the bucket that the value is in.
    """
    weights = [1.0] * len(values) if weights is None else weights
    whole = all(float(weight).is_integer() for weight in weights)
    times = [round(weight if whole else weight * _WEIGHT_UNIT) for weight in weights]
    percentiles = {f"p{q}": _upper_end(_percentile(values, times, q)) for q in QUANTILES}
    return {"mean": round(mean(values, weights)), **percentiles}


def _percentile(values: Sequence[int], times: Sequence[int], percentile: int) -> int:
    """Return the smallest value that as many are below or equal to, rounded to whole ones."""
    total = sum(times)
    if not total:
        return 0
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(np.asarray(times)[order])
    place = np.searchsorted(reached, max(1, int(percentile / 100 * total + 0.5)))
    return int(np.asarray(values)[order[place]])


def _upper_end(value: int) -> int:
    """Return the largest integer that has the same first eleven bits."""
    rest = max(value.bit_length() - _DIGITS_BITS, 0)
    return ((value >> rest) + 1 << rest) - 1


def apportion(parts: Iterable[float], total: int) -> list[int]:
    """Round parts to integers which sum to `total`: the largest remainders are rounded up."""
    exact = list(parts)
    whole = [math.floor(part) for part in exact]
    left = total - sum(whole)
    if not exact or not left:
        return whole
    each, more = divmod(left, len(exact))
    by_remainder = sorted(range(len(exact)), key=lambda i: exact[i] - whole[i], reverse=True)
    for place, index in enumerate(by_remainder):
        whole[index] += each + (place < more)
    return whole
