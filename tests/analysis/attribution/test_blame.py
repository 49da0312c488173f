"""Who had a thread in an interval, and an interval split by who had it."""

from __future__ import annotations

from tracer.analysis.attribution.blame import Blame
from tracer.analysis.attribution.request import Segment
from tracer.model.frames import Busy

NAMES = ("orders.views.slow",)
BUSY = (
    Busy(0, 10, 1, 2, 1),
    Busy(10, 20, 1, 1, 1),
    Busy(25, 30, 1, 3, 0),
    Busy(35, 60, 1, 0, 0),
    Busy(0, 60, 2, 4, 1),
)
OWN = Segment(5, 50, "handoff", "site", None, "return", "wait")


def test_others_are_those_of_the_thread_clipped_and_not_the_request_itself():
    assert Blame(BUSY, 1, NAMES).preemptions(5, 50, 1) == [
        (5, 10, "orders.views.slow"),
        (25, 30, "another request"),
        (35, 50, "unnamed callback"),
    ]
    assert Blame(BUSY, 1, NAMES).preemptions(5, 50, 3) == []
    assert Blame(BUSY, 1, NAMES).preemptions(30, 35, 1) == []


def test_of_two_at_once_the_one_that_ended_first_keeps_the_time():
    busy = (Busy(0, 20, 1, 2, 1), Busy(10, 30, 1, 3, 0))
    assert Blame(busy, 1, NAMES).preemptions(0, 40, 1) == [
        (0, 20, "orders.views.slow"),
        (20, 30, "another request"),
    ]


def test_an_interval_is_split_and_its_owner_keeps_what_nobody_took():
    parts = Blame(BUSY, 1, NAMES).split(5, 50, 1, OWN)
    assert [(one.start_ns, one.end_ns, one.layer, one.detail) for one in parts] == [
        (5, 10, "event_loop", "orders.views.slow"),
        (10, 25, "handoff", "site"),
        (25, 30, "event_loop", "another request"),
        (30, 35, "handoff", "site"),
        (35, 50, "event_loop", "unnamed callback"),
    ]
    assert {one.state for one in parts} == {"wait"}
    assert {one.phase for one in parts if one.layer == "handoff"} == {"return"}


def test_where_nobody_ran_an_interval_stays_whole():
    assert Blame((), 1, NAMES).split(5, 50, 1, OWN) == [OWN]


def test_everywhere_is_what_ran_on_any_thread():
    found = Blame(BUSY, 1, NAMES).everywhere()
    assert (0, 60, "orders.views.slow") in found
    assert len(found) == 4
