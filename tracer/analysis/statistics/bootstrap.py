"""Confidence intervals over rounds: what other rounds on the same machine might have shown.

Requests of one round share its warmth, its neighbours and its clock speed, so they
are no independent witnesses: whole rounds are drawn, never single requests. The ends
are the value plus and minus Student's t times the bootstrap's standard error, that
widened by sqrt(n / (n - 1)): plain percentiles of a few rounds cover too little.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.statistics.figures import finite
from tracer.analysis.statistics.summary import explained
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tracer.analysis.statistics.measurement import Measurement

    Floats = NDArray[np.float64]

REPLICATES: Final = 2_000
SEED: Final = 20_251
LEVEL: Final = 0.95
MIN_ROUNDS: Final = 2
# So finely medians are told apart: exact for as many latencies, else by quantiles.
GRID: Final = 2_048


class Resamples:
    """Rounds of one configuration, drawn again and again with replacement."""

    def __init__(self, measurement: Measurement, index: int, *, traced: bool = True) -> None:
        self.rounds = [
            one
            for one in measurement.rounds
            if one.traced is traced and (one.latencies_ns or one.requests)
        ]
        count = len(self.rounds)
        rng = np.random.default_rng([SEED, index, int(traced)])
        each = np.full(count, 1 / count) if count else np.zeros(0)
        shape = (REPLICATES, count)
        self.times: Floats = (
            rng.multinomial(count, each, size=REPLICATES).astype(float)
            if count
            else np.zeros(shape)
        )

    @property
    def count(self) -> int:
        """How many rounds there are to draw from."""
        return len(self.rounds)

    def medians(self) -> Floats:
        """Return the median latency of each replicate."""
        values, weights, owners = self._latencies()
        if not len(values):
            return np.zeros(REPLICATES)
        order = np.argsort(values, kind="stable")
        values, weights, owners = values[order], weights[order], owners[order]
        grid = np.unique(np.linspace(0, len(values) - 1, GRID).round().astype(np.intp))
        below = np.array(
            [np.cumsum(np.where(owners == one, weights, 0.0))[grid] for one in range(self.count)]
        )
        reached = self.times @ below
        found: Floats = values[grid[np.argmax(reached >= reached[:, -1:] / 2, axis=1)]]
        return found

    def _latencies(self) -> tuple[Floats, Floats, NDArray[np.intp]]:
        values: list[float] = []
        weights: list[float] = []
        owners: list[int] = []
        for index, one in enumerate(self.rounds):
            if one.latencies_ns:
                values.extend(one.latencies_ns)
                weights.extend([1.0] * len(one.latencies_ns))
            else:
                values.extend(request.duration_ns for request in one.requests)
                weights.extend(request.weight for request in one.requests)
            owners.extend([index] * (len(values) - len(owners)))
        return np.array(values, float), np.array(weights, float), np.array(owners, np.intp)

    def layer_means(self) -> Floats:
        """Return the mean of every layer in each replicate, one column a layer."""
        if not self.rounds:
            return np.zeros((REPLICATES, len(LAYERS)))
        sums = np.array(
            [
                [sum(r.layers.get(name, 0) * r.weight for r in explained(one)) for name in LAYERS]
                for one in self.rounds
            ],
            float,
        )
        totals = np.array([sum(r.weight for r in explained(one)) for one in self.rounds], float)
        drawn = self.times @ totals
        means: Floats = (self.times @ sums) / np.where(drawn == 0, 1.0, drawn)[:, None]
        return means


def interval(value: float, replicates: Floats, *rounds: int) -> list[float] | None:
    """Return the 95 % interval of a value, None where a side has too few rounds to know."""
    if min(rounds) < MIN_ROUNDS:
        return None
    least = min(rounds)
    error = float(replicates.std(ddof=1)) * math.sqrt(least / (least - 1))
    reach = finite(_student(0.5 + LEVEL / 2, sum(rounds) - len(rounds)) * error)
    return None if reach is None else [value - reach, value + reach]


def ratio_interval(value: float, above: Floats, below: Floats, *rounds: int) -> list[float] | None:
    """Return the interval of a ratio, made of logarithms so that it stays above 0."""
    if value <= 0 or not (above > 0).all() or not (below > 0).all():
        return None
    ends = interval(math.log(value), np.log(above / below), *rounds)
    return ends and [math.exp(end) for end in ends]


def in_nanoseconds(ends: list[float] | None) -> list[int] | None:
    """Round an interval outwards to integers."""
    return None if ends is None else [math.floor(ends[0]), math.ceil(ends[1])]


def excludes_zero(ends: Sequence[float] | None) -> bool:
    """Tell whether an interval is known and lies on one side of nothing."""
    return ends is not None and (ends[0] > 0 or ends[1] < 0)


def _student(share: float, freedom: int) -> float:
    """Return a quantile of Student's t (Cornish-Fisher: within 3 % from 2 degrees on)."""
    z, n = NormalDist().inv_cdf(share), float(freedom)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def entry(value: float | None, ends: list[Any] | None) -> dict[str, Any]:
    """Return a value with its interval, as the contract has it."""
    return {"value": value, "ci95": ends}
