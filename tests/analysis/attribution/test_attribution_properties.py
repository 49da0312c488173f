from __future__ import annotations

import io
import json
import random
from collections import Counter
from time import process_time_ns

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import timelines
from tests.support.strategies import BUSY, GARBAGE, HEADS, PROGRAMS
from tests.support.timelines import SITE, WORKER, SymbolicTimeline, check_tiling
from tracer.analysis.attribution.attribute import attribute
from tracer.model import timeline as t
from tracer.reports.json import jsonl

thorough = settings(max_examples=50, deadline=None)
PARTIAL = HEADS | st.builds(timelines.head)


def attributed(head, marks, busy=()):
    request = attribute(head, marks, WORKER, busy)
    check_tiling(request)
    stream = io.StringIO()
    jsonl([request], stream)
    assert json.loads(stream.getvalue())["end_ns"] == request.end_ns
    return request


def timeline_of(program, after=()):
    timeline = SymbolicTimeline()
    end_ns, truth = timeline.tell(program, after)
    return timeline, end_ns, truth


def head_of(timeline):
    return timelines.head(finish_ns=timeline.now + 5)


@thorough
@given(PROGRAMS, PROGRAMS)
def test_every_layer_of_a_wellformed_request_gets_exactly_what_it_took(program, after):
    timeline, end_ns, truth = timeline_of(program, after)
    request = attributed(head_of(timeline), timeline.marks)
    assert request.end_ns == end_ns
    assert +Counter(request.layers) == +truth
    assert request.after_response_ns == timeline.now - end_ns


@thorough
@given(PROGRAMS)
def test_every_handoff_of_a_wellformed_request_is_on_the_main_track(program):
    timeline, _, _ = timeline_of(program)
    request = attributed(head_of(timeline), timeline.marks)
    hops = sum(code in (t.HOP, t.CALL) for code, *_ in timeline.marks)
    assert len(request.hops) == hops
    assert not any(hop.overlapped or hop.after_response for hop in request.hops)
    for number, hop in enumerate(request.hops):
        if hop.direction == "to_loop":
            assert hop.parent is not None
            assert hop.parent < number


@thorough
@given(PROGRAMS, BUSY)
def test_occupancy_of_others_takes_time_but_makes_none(program, busy):
    timeline, end_ns, _ = timeline_of(program)
    assert attributed(head_of(timeline), timeline.marks, busy).end_ns == end_ns


@thorough
@given(PROGRAMS, BUSY, st.floats(0, 1), PARTIAL)
def test_a_truncated_timeline_tiles(program, busy, share, head):
    timeline, _, _ = timeline_of(program)
    attributed(head, timeline.marks[: int(len(timeline.marks) * share)], busy)


@thorough
@given(PROGRAMS, BUSY, st.floats(0, 1), PARTIAL)
def test_a_timeline_that_lost_its_beginning_tiles(program, busy, share, head):
    timeline, _, _ = timeline_of(program)
    attributed(head, timeline.marks[int(len(timeline.marks) * share) :], busy)


@thorough
@given(PROGRAMS, BUSY, st.integers(), PARTIAL, st.floats(0, 1))
def test_a_shuffled_timeline_with_holes_tiles(program, busy, seed, head, share):
    timeline, _, _ = timeline_of(program)
    marks = random.Random(seed).sample(timeline.marks, int(len(timeline.marks) * share))
    attributed(head, marks, busy)


@thorough
@given(PROGRAMS, PROGRAMS, BUSY)
def test_the_marks_of_two_requests_in_one_timeline_tile(first, second, busy):
    one, two = timeline_of(first)[0], timeline_of(second)[0]
    marks = [mark for pair in zip(one.marks, two.marks, strict=False) for mark in pair]
    attributed(head_of(one), marks, busy)


@thorough
@given(PROGRAMS, GARBAGE, BUSY, st.integers())
def test_garbage_between_the_marks_tiles(program, garbage, busy, seed):
    timeline, _, _ = timeline_of(program)
    marks = list(timeline.marks)
    places = random.Random(seed)
    for mark in garbage:
        marks.insert(places.randrange(len(marks) + 1), mark)
    attributed(head_of(timeline), marks, busy)


@settings(max_examples=200, deadline=None)
@given(HEADS, GARBAGE, BUSY)
def test_garbage_tiles(head, marks, busy):
    attributed(head, marks, busy)


STRUCTURE = (
    *(t.STEP, t.YIELD, t.DONE, t.SPAWN, t.AWAITS, t.HOP, t.SUBMIT, t.RUN, t.RAN),
    *(t.HOP_END, t.CALL, t.BRIDGE, t.CALL_END, t.ENTER, t.EXIT),
)


@pytest.mark.parametrize("seed", range(20))
def test_long_garbage_tiles_and_takes_no_longer_than_it_is_long(seed):
    pick = random.Random(seed)
    count, threads, values = 1500, pick.choice([2, 4]), pick.choice([3, 8, 40])
    codes, span = pick.choice([range(42), STRUCTURE]), pick.choice([10, count, 100 * count])
    marks = [
        (
            pick.choice(codes),
            timelines.START_NS + pick.randrange(span),
            pick.randrange(threads),
            pick.randrange(values),
        )
        for _ in range(count)
    ]
    began = process_time_ns()
    attributed(timelines.head(finish_ns=timelines.START_NS + span), marks)
    assert process_time_ns() - began < 5_000_000_000


def test_tracks_and_handoffs_are_told_apart_by_identity():
    """Two tracks of the same number and history are two: comparing them goes down for ever."""
    one = [(t.HOP, SITE), (t.SUBMIT, 1), (t.RUN, 1)]
    marks = [(code, timelines.START_NS, 1, value) for code, value in one * 500]
    marks.append((t.RAN, timelines.START_NS, 1, 1))
    attributed(timelines.head(finish_ns=timelines.START_NS), marks)


def test_deep_nesting_neither_recurses_too_deep_nor_takes_long():
    program = [("work", 10)]
    for _ in range(150):
        program = [("hop", (1, 1, 1, 1), [], False, ((1, 1, 1), program))]
    timeline, end_ns, truth = timeline_of(program)
    began = process_time_ns()
    request = attributed(head_of(timeline), timeline.marks)
    assert process_time_ns() - began < 5_000_000_000
    assert len(request.hops) == 300
    assert request.end_ns == end_ns
    assert truth["handoff"] >= request.layers["handoff"]
