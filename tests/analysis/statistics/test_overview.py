from __future__ import annotations

import numpy as np
import pytest

from tracer.analysis.statistics.curves import histogram, percentile_curve
from tracer.analysis.statistics.overview import POINTS, Overview


def overview(durations, routes=None):
    return Overview.of(
        (number, 1_000 * number, duration, routes[number] if routes else None)
        for number, duration in enumerate(durations)
    )


def test_requests_are_found_by_how_long_they_took():
    seen = overview([30, 10, 50, 20])
    assert (seen.near(21), seen.near(10**9), seen.slowest()) == (3, 2, 2)
    empty = overview([])
    assert (empty.near(5), empty.slowest(), empty.spread(10)) == (None, None, [])
    assert empty.points()["at_ns"] == []


def test_a_spread_has_the_slowest_each_route_and_all_sizes():
    durations = list(range(1_000, 2_000))
    routes = ["rare/" if number == 500 else f"r{number % 3}/" for number in range(1_000)]
    found = overview(durations, routes).spread(40)
    assert len(found) == len(set(found)) == 40
    assert {994, 995, 996, 997, 998, 999} <= set(found)
    assert 500 in found, "a route of one request"
    tenths = {number // 100 for number in found}
    assert tenths == set(range(10))


@pytest.mark.parametrize("many", [1, 2, 3, 7])
def test_a_spread_of_few_is_all_of_them(many):
    assert sorted(overview(range(many)).spread(60)) == list(range(many))


def test_few_points_are_told_one_by_one_and_many_as_cells_that_lose_none():
    few = overview([300, 100, 200]).points()
    assert (few["cells"], few["duration_ns"]) == (False, [300, 100, 200])
    rng = np.random.default_rng(1)
    durations = rng.lognormal(14, 0.7, 50 * POINTS).astype(int).tolist()
    many = overview(durations).points()
    assert many["cells"]
    assert sum(many["requests"]) == len(durations)
    assert len(many["requests"]) < 4 * POINTS
    low, high = min(durations), max(durations)
    assert all(low * 0.88 < one < high * 1.13 for one in many["duration_ns"])


def test_a_percentile_curve_reaches_the_maximum_and_never_falls():
    curve = percentile_curve([(ns, 1.0) for ns in range(1, 1_001)])
    assert curve[0] == [0.0, 1]
    assert curve[-1] == [1.0, 1_000]
    assert dict(map(tuple, curve))[0.5] == 500
    assert dict(map(tuple, curve))[0.99] == 990
    assert [ns for _, ns in curve] == sorted(ns for _, ns in curve)
    assert percentile_curve([]) == []


def test_a_histogram_counts_all_but_nothing():
    found = histogram([(0, 5.0), (1_000, 2.0), (1_050, 1.0), (64_000, 4.0)])
    assert sum(times for _, _, times in found) == 7
    assert all(low < high for low, high, _ in found)
    assert [times for low, high, times in found if low <= 64_000 < high] == [4.0]
