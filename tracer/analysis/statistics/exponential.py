"""Spreads as exponential histograms with base-2 buckets: OpenTelemetry's and Prometheus's own.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
A bucket's boundaries are powers of `2**(2**-SCALE)`. What a spread's bucket holds goes into
the one that its middle lies in, so no value is lost and none counted twice; sums are the
spread's own integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.analysis.statistics.spread import Spread

SCALE: Final = 3
"""Buckets grow by 9.05 %: eight to each doubling."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """`counts[i]` values lie in `(base**(offset + i), base**(offset + i + 1)]`, `zeros` are 0.

    `total` is the sum of all values in the unit asked for.
    """

    total: float
    zeros: int
    offset: int
    counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.zeros + sum(self.counts)


def exponential(spreads: Iterable[tuple[Spread, float]], unit: int) -> Exponential:
    """Return the histogram of spreads, each with the weight of one of its values.

    `unit` is how many of the spread's units make one of the histogram's. Weighted counts
    are rounded bucket by bucket, so that none ever gets smaller as values are added.
    """
    values: list[int] = []
    weights: list[float] = []
    totals: list[float] = []
    for spread, weight in spreads:
        totals.append(spread.total_ns * weight)
        for value, times in spread.pairs():
            values.append(value)
            weights.append(times * weight)
    seen = np.array(values, np.float64)
    often = np.array(weights, np.float64)
    above = seen > 0
    zeros = round(float(often[~above].sum()))
    total = math.fsum(totals) / unit
    if not above.any():
        return Exponential(total, zeros, 0, ())
    index = np.ceil(np.log2(seen[above] / unit) * 2**SCALE).astype(np.int64) - 1
    offset = int(index.min())
    counts = np.rint(np.bincount(index - offset, often[above])).astype(np.int64)
    return Exponential(total, zeros, offset, tuple(counts.tolist()))
