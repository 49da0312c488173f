from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tracer.analysis.statistics.exponential import SCALE, exponential
from tracer.analysis.statistics.spread import COARSE_BITS, Buckets, Exact

BASE = 2 ** (2**-SCALE)
SECOND = 1_000_000_000
DURATIONS = st.lists(st.integers(0, 3_600 * SECOND), max_size=60)
WEIGHTS = st.sampled_from([1.0, 2.5, 10.0, 1 / 0.3])


def spread_of(values, kind=Exact):
    spread = kind() if kind is Exact else kind(COARSE_BITS)
    for value in values:
        spread.add(value)
    return spread


@given(DURATIONS)
def test_no_value_is_lost_and_the_sum_is_exact(values):
    found = exponential([(spread_of(values, Buckets), 1.0)], SECOND)
    assert found.count == len(values)
    assert found.zeros == values.count(0)
    assert found.total == sum(values) / SECOND


@given(st.integers(1, 3_600 * SECOND))
def test_a_value_lies_in_its_bucket(value):
    found = exponential([(spread_of([value]), 1.0)], SECOND)
    assert found.counts == (1,)
    low, high = BASE**found.offset, BASE ** (found.offset + 1)
    # Boundaries are irrational: one ulp either way is no other bucket.
    assert low * (1 - 1e-12) < value / SECOND <= high * (1 + 1e-12)


@given(DURATIONS, DURATIONS, WEIGHTS, WEIGHTS)
def test_weighted_counts_only_grow_bucket_by_bucket(some, more, first, second):
    before = exponential([(spread_of(some), first), (spread_of(some), second)], SECOND)
    after = exponential([(spread_of([*some, *more]), first), (spread_of(some), second)], SECOND)
    assert after.zeros >= before.zeros
    for place, count in enumerate(before.counts, before.offset):
        assert after.counts[place - after.offset] >= count


def test_whole_weights_are_exact():
    found = exponential([(spread_of([SECOND, SECOND]), 10.0), (spread_of([SECOND]), 1.0)], SECOND)
    assert (found.count, found.total) == (21, 21.0)


def test_nothing_is_an_empty_histogram():
    assert exponential([], SECOND).count == 0
    assert math.isclose(exponential([(spread_of([0]), 1.0)], SECOND).zeros, 1)
