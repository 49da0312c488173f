"""Which timelines are alike: what decides who owns what is in a shape, the rest isn't."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import timelines
from tests.support.timelines import LOOP, START_NS, WORKER, SymbolicTimeline
from tracer.analysis.shapes.batch import Batch
from tracer.analysis.shapes.shape import shapes
from tracer.model import timeline as t

HOP = ("hop", (3, 4, 5, 6), [("work", 7)], False, None)


def marked(actions, stretch=1):
    """Return a timeline, all its durations so many times as long."""
    timeline = SymbolicTimeline()
    timeline.tell(actions)
    start = START_NS
    marks = [
        (code, start + (at - start) * stretch if at else 0, thread, value)
        for code, at, thread, value in timeline.marks
    ]
    return timelines.head(finish_ns=start + (timeline.now - start) * stretch + 5), marks


def shapes_of(*several):
    every = [mark for _, marks in several for mark in marks]
    bounds = np.cumsum([0, *(len(marks) for _, marks in several)])
    heads = [head for head, _ in several]
    batch = Batch(heads, [1] * len(several), np.array(every, np.int64), bounds, {})
    return shapes(batch, lambda _worker, values: values)


def alike(one, other):
    first, second = shapes_of(one, other).keys
    assert first is not None
    return first == second


def test_only_the_order_of_instants_is_in_a_shape():
    assert alike(marked([("work", 5), HOP]), marked([("work", 5), HOP], 1_000))
    assert alike(marked([("work", 5), HOP]), marked([("work", 500), HOP]))


@pytest.mark.parametrize(
    "actions",
    [
        [("scope", "view", [("work", 5)]), HOP],
        [HOP, ("work", 5)],
        [("work", 5), ("hop", (3, 4, 5, 6), [("work", 7)], True, None)],
        [("work", 5)],
        [("work", 0), HOP],
    ],
)
def test_whatever_decides_who_owns_what_makes_another_shape(actions):
    assert not alike(marked([("work", 5), HOP]), marked(actions))


def test_garbage_collections_are_left_out_and_kept_apart():
    with_one = marked([("work", 2), ("collect", 1), ("work", 2), HOP])
    found = shapes_of(marked([("work", 5), HOP]), with_one)
    assert found.keys[0] == found.keys[1]
    assert [tuple(one) for one in found.pauses] == [(1, 2, 3, LOOP)]


def test_numbers_of_threads_and_futures_are_left_out():
    head, marks = marked([HOP, ("wait", 9, 1, False)])
    renamed = [
        (code, at, thread + 50, value + 9 if code == t.YIELD else value)
        for code, at, thread, value in marks
    ]
    assert alike((head, marks), (head, renamed))


def test_a_timeline_with_a_mark_that_nobody_knows_has_no_shape():
    head, marks = marked([HOP])
    assert shapes_of((head, [*marks, (63, START_NS + 3, LOOP, 0)])).keys == [None]


def test_a_timeline_can_be_told_again_with_places_instead_of_instants():
    marks, start, finish = shapes_of(marked([("work", 5)])).symbolic(0)
    assert [(code, at) for code, at, _, _ in marks] == [
        (t.TASK, 1),
        (t.STEP, 1),
        (t.LAST, 4),
        (t.DONE, 4),
    ]
    assert (start, finish) == (1, 6)
    assert WORKER.pid == 1
