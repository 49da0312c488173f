"""How durations are spread: every value kept, or log-linear buckets that can be merged.

A bucket is `2**-bits` of its value wide and stands for its middle, so a quantile is off by
at most `2**-(bits + 1)` of itself: 0.4 % with 7 bits, 1.6 % with 5. Sums are kept beside
as integers, so means are exact either way.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np

from tracer.analysis.statistics.quantile import quantile_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

FINE_BITS: Final = 7
COARSE_BITS: Final = 5
_BUCKETS: Final = 1 << 14
_LARGEST: Final = (1 << 52) - 1


class Spread(Protocol):
    """Durations by how often they were seen."""

    count: int
    total_ns: int

    def add(self, value_ns: int) -> None:
        """Take one more value."""

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Give values and how often each was seen, in order of value."""


class Exact:
    """Keeps every distinct value."""

    __slots__ = ("_seen", "count", "total_ns")

    def __init__(self) -> None:
        """Begin empty."""
        self._seen: Counter[int] = Counter()
        self.count = self.total_ns = 0

    def add(self, value_ns: int) -> None:
        """Take one more value."""
        self._seen[value_ns] += 1
        self.count += 1
        self.total_ns += value_ns

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Give values and how often each was seen, in order of value."""
        yield from sorted(self._seen.items())


class Buckets:
    """Counts values in buckets; its memory is the range that was seen, however many they are."""

    __slots__ = ("_bits", "_counts", "_first", "count", "total_ns")

    def __init__(self, bits: int) -> None:
        """Begin empty, with `2**bits` buckets an octave."""
        self._bits = bits
        self._first = 0
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self.count = self.total_ns = 0

    def add(self, value_ns: int) -> None:
        """Take one more value; a negative one counts as 0."""
        self.count += 1
        self.total_ns += value_ns
        clipped = min(max(value_ns, 0), _LARGEST)
        shift = max(clipped.bit_length() - (self._bits + 1), 0)
        place = (shift << self._bits) + (clipped >> shift)
        self._make_room(place, place)
        self._counts[place - self._first] += 1

    def take(self, values: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Take some values, whose buckets are known."""
        self.count += len(values)
        self.total_ns += int(values.sum())
        low, high = int(places.min()), int(places.max())
        self._make_room(low, high)
        seen = np.bincount(places - low)
        self._counts[low - self._first : high - self._first + 1] += seen

    def merge(self, other: Buckets) -> None:
        """Take all that another of the same kind has."""
        if not other.count:
            return
        last = other._first + len(other._counts) - 1
        self._make_room(other._first, last)
        start = other._first - self._first
        self._counts[start : start + len(other._counts)] += other._counts
        self.count += other.count
        self.total_ns += other.total_ns

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Give the buckets' middles and counts, in order of value."""
        for place in np.flatnonzero(self._counts).tolist():
            yield _middle(place + self._first, self._bits), int(self._counts[place])

    def to_json(self) -> list[Any]:
        """Return what `from_json` takes: bits, sum, first bucket and counts."""
        return [self._bits, self.total_ns, self._first, self._counts.tolist()]

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        """Return what was stored; raise `ValueError` if it can't be that."""
        bits, total, first, counts = stored
        made = cls(int(bits))
        made.total_ns, made._first = int(total), int(first)
        made._counts = np.array(counts, np.int64)
        if made._counts.ndim != 1 or not 0 <= first < _BUCKETS or len(counts) > _BUCKETS:
            raise ValueError("a spread of no such buckets")
        made.count = int(made._counts.sum())
        return made

    def _make_room(self, low: int, high: int) -> None:
        """Widen the range of buckets to `[low, high]`, and a little more."""
        if not len(self._counts):
            self._first, self._counts = low, np.zeros(high - low + 1, np.int64)
            return
        first, end = self._first, self._first + len(self._counts)
        if low >= first and high < end:
            return
        margin = len(self._counts) // 4
        new_first = first if low >= first else max(0, low - margin)
        new_end = end if high < end else high + 1 + margin
        counts = np.zeros(new_end - new_first, np.int64)
        counts[first - new_first : end - new_first] = self._counts
        self._first, self._counts = new_first, counts


def buckets_of(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return each value's bucket: values below `2**(bits + 1)` have one of their own."""
    clipped = np.clip(values, 0, _LARGEST)
    _, exponents = np.frexp(clipped.astype(np.float64))
    shift = np.maximum(exponents.astype(np.int64) - (bits + 1), 0)
    places: NDArray[np.int64] = (shift << bits) + (clipped >> shift)
    return places


def _middle(place: int, bits: int) -> int:
    if place < 2 << bits:
        return place
    shift = (place >> bits) - 1
    return ((place - (shift << bits)) << shift) + (1 << shift) // 2


def quantile(spreads: Iterable[tuple[Spread, float]], share: float) -> int | None:
    """Return the smallest value that `share` of the weight does not exceed, None of nothing.

    Each spread comes with the weight of one of its values.
    """
    return quantile_of(weighed(spreads), share)


def weighed(spreads: Iterable[tuple[Spread, float]]) -> list[tuple[int, float]]:
    """Return the values of spreads and their weights, in order of value."""
    seen: dict[int, float] = {}
    for spread, weight in spreads:
        for value, times in spread.pairs():
            seen[value] = seen.get(value, 0.0) + times * weight
    return sorted(seen.items())
