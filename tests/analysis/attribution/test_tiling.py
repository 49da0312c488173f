"""Whatever segments come in, what goes out tiles the window and sums exactly."""

from __future__ import annotations

from tracer.analysis.attribution.request import Segment
from tracer.analysis.attribution.tiling import sum_layers, tile


def test_gaps_are_nobodys_and_what_reaches_out_is_cut_off():
    found = tile([Segment(0, 20, "server"), Segment(30, 90, "view")], 10, 60)
    assert found == (
        Segment(10, 20, "server"),
        Segment(20, 30, "unattributed"),
        Segment(30, 60, "view"),
    )


def test_the_first_of_two_that_overlap_keeps_the_time():
    found = tile([Segment(0, 20, "server"), Segment(10, 30, "view")], 0, 30)
    assert found == (Segment(0, 20, "server"), Segment(20, 30, "view"))


def test_neighbours_of_one_owner_are_one_segment():
    found = tile([Segment(0, 5, "view"), Segment(5, 9, "view"), Segment(9, 12, "view", "x")], 0, 12)
    assert found == (Segment(0, 9, "view"), Segment(9, 12, "view", "x"))


def test_neighbours_that_differ_in_anything_stay_apart():
    one = Segment(0, 5, "event_loop", "turn", state="wait", preempted_on=1)
    for other in (
        Segment(5, 9, "event_loop", "turn", state="wait"),
        Segment(5, 9, "event_loop", "turn", preempted_on=1),
        Segment(5, 9, "event_loop", "turn", state="wait", thread=3, preempted_on=1),
        Segment(5, 9, "event_loop", "turn", "gc", state="wait", preempted_on=1),
        Segment(5, 9, "event_loop", "turn", None, "wake", "wait", preempted_on=1),
        Segment(5, 9, "event_loop", "turn", state="wait", certainty="bound", preempted_on=1),
    ):
        assert tile([one, other], 0, 9) == (one, other)


def test_nothing_is_a_window_of_nobodys():
    assert tile([], 3, 8) == (Segment(3, 8, "unattributed"),)
    assert tile([Segment(0, 9, "view")], 5, 5) == ()


def test_layers_sum_to_the_window():
    segments = [Segment(0, 5, "view"), Segment(5, 9, "server"), Segment(9, 12, "view")]
    sums = sum_layers(segments)
    assert (sums["view"], sums["server"], sums["handoff"]) == (8, 4, 0)
