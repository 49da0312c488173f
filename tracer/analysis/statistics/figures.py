"""Weighted means and histograms: what every summary is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOUR_NS = 3_600_000_000_000
SIGNIFICANT_DIGITS = 3
# A histogram counts whole requests: a weight such as 3.33 is counted in hundredths.
WEIGHT_UNIT = 100
QUANTILES = (50, 90, 99)


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
    """Return mean (exact) and percentiles (HDR histogram, three digits) of latencies."""
    weights = [1.0] * len(values) if weights is None else weights
    summary = {"mean": round(mean(values, weights))}
    histogram = _histogram(values, weights)
    reached = histogram.get_percentile_to_value_dict(list(QUANTILES)) if values else {}
    summary.update({f"p{q}": int(reached.get(q, 0)) for q in QUANTILES})
    return summary


def _histogram(values: Sequence[int], weights: Sequence[float]) -> HdrHistogram:
    histogram = HdrHistogram(1, HOUR_NS, SIGNIFICANT_DIGITS)
    whole = all(float(weight).is_integer() for weight in weights)
    for value, weight in zip(values, weights, strict=True):
        times = round(weight) if whole else round(weight * WEIGHT_UNIT)
        histogram.record_value(min(max(value, 0), HOUR_NS), times)
    return histogram


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
