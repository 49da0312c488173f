"""Figures of paired rounds: medians, differences, ratios, and how sure they are.

Requests of one round share its warmth and its neighbours, so they are no independent
witnesses: intervals come from drawing whole rounds, the same ones for both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

REPLICATES: Final = 1_000
SEED: Final = 4
ENDS: Final = (2.5, 97.5)
TAIL: Final = 99


@dataclass(frozen=True, slots=True)
class Series:
    """What one variant showed: `latencies` of shape (rounds, requests) and `cpu` of (rounds,).

    Both in nanoseconds, CPU time per request.
    """

    latencies: Floats
    cpu: Floats

    @classmethod
    def of(cls, batches: Sequence[tuple[Sequence[float], float]]) -> Series:
        """Return the series of (latencies, CPU time per request) of each round."""
        latencies = np.array([latencies for latencies, _ in batches], float)
        return cls(latencies, np.array([cpu for _, cpu in batches], float))

    @property
    def medians(self) -> Floats:
        """The median latency of each round."""
        found: Floats = np.median(self.latencies, axis=1)
        return found

    def figures(self) -> dict[str, Any]:
        """Return what this variant took, by itself."""
        rounds, requests = self.latencies.shape
        return {
            "rounds": rounds,
            "requests": rounds * requests,
            "p50_ns": round(float(np.median(self.latencies))),
            "p99_ns": round(float(np.percentile(self.latencies, TAIL))),
            "cpu_ns": round(float(self.cpu.mean())),
            "cpu_p50_ns": round(float(np.median(self.cpu))),
        }

    def against(self, base: Series) -> dict[str, Any]:
        """Return what this variant adds to another that was measured in the same rounds.

        `cpu` is of all that was spent, exports in the background included; `cpu_p50` is of
        the median round, which is steadier and blind to what happens every few rounds.
        """
        return {
            "added_p50_ns": difference(self.medians, base.medians),
            "ratio_p50": ratio(self.medians, base.medians),
            "added_p99_ns": _of_rows(_tails(self), _tails(base), np.subtract),
            "ratio_p99": _of_rows(_tails(self), _tails(base), np.divide),
            "added_cpu_ns": difference(self.cpu, base.cpu, np.mean),
            "ratio_cpu": _of_rows(_means(self.cpu), _means(base.cpu), np.divide),
            "added_cpu_p50_ns": difference(self.cpu, base.cpu),
            "ratio_cpu_p50": ratio(self.cpu, base.cpu),
        }


def difference(
    ours: Floats, base: Floats, middle: Callable[..., Any] = np.median
) -> dict[str, Any]:
    """Return the middle of the rounds' differences and its 95 % interval."""
    return _middle(np.asarray(ours) - np.asarray(base), middle)


def ratio(ours: Floats, base: Floats) -> dict[str, Any]:
    """Return the median of the rounds' ratios and its 95 % interval."""
    return _middle(np.asarray(ours) / np.asarray(base), np.median)


def _middle(rounds: Floats, middle: Callable[..., Any]) -> dict[str, Any]:
    drawn = middle(rounds[_rows(len(rounds))], axis=1)
    return _entry(float(middle(rounds)), drawn)


def _of_rows(
    ours: Callable[[NDArray[np.intp]], Floats],
    base: Callable[[NDArray[np.intp]], Floats],
    combine: Callable[..., Any],
) -> dict[str, Any]:
    """Combine two figures of all rounds, and of each drawing of rounds."""
    rows = _rows(len(ours(np.zeros((0, 0), np.intp))))
    every = np.arange(rows.shape[1])[None, :]
    value = combine(ours(every), base(every))
    return _entry(float(value[0]), combine(ours(rows), base(rows)))


def _tails(series: Series) -> Callable[[NDArray[np.intp]], Floats]:
    def tails(rows: NDArray[np.intp]) -> Floats:
        if not rows.size:
            return series.latencies
        drawn = series.latencies[rows].reshape(len(rows), -1)
        found: Floats = np.percentile(drawn, TAIL, axis=1)
        return found

    return tails


def _means(values: Floats) -> Callable[[NDArray[np.intp]], Floats]:
    return lambda rows: values[rows].mean(axis=1) if rows.size else values


def _rows(count: int) -> NDArray[np.intp]:
    """Draw rounds with replacement; the same ones each time, for both sides of a pair."""
    return np.random.default_rng(SEED).integers(0, count, (REPLICATES, count))


def _entry(value: float, drawn: Floats) -> dict[str, Any]:
    low, high = np.percentile(drawn, ENDS)
    return {"value": round(value, 5), "ci95": [round(float(low), 5), round(float(high), 5)]}
