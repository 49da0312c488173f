"""Weighted means and percentiles: what every summary is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tracer.analysis.statistics.quantile import quantile_of

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


def latency(values: Sequence[int], weights: Sequence[float] | None = None) -> dict[str, int]:
    """Return the mean, exact, and percentiles of latencies to three significant digits.

    A percentile is what an HDR histogram says: the upper end of the bucket that the value is in.
    """
    weights = [1.0] * len(values) if weights is None else weights
    whole = all(float(weight).is_integer() for weight in weights)
    times = [round(weight if whole else weight * _WEIGHT_UNIT) for weight in weights]
    ordered, total = sorted(zip(values, times, strict=True)), sum(times)
    summary = {"mean": round(mean(values, weights))}
    for percentile in QUANTILES:
        rank = max(1, int(percentile / 100 * total + 0.5))
        value = quantile_of(ordered, (rank - 0.5) / total) if total else None
        summary[f"p{percentile}"] = _upper_end(value or 0)
    return summary


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
