"""Who else had a thread: of many stretches at once what it is of each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracer.analysis.attribution.blame import Blame
from tracer.analysis.shapes.occupancy import Log
from tracer.model.frames import Busy

OWN, THREAD, WORKER = 1, 7, 3
NAMES = ("first", "second")


def busy_of(gaps):
    """Lay entries one after the other, as one thread runs them: `(gap, length, sequence)`."""
    found, cursor = [], 100
    for number, (gap, length, sequence) in enumerate(gaps):
        found.append(Busy(cursor + gap, cursor + gap + length, THREAD, sequence, 1 + number % 2))
        cursor += gap + length
    return found


def of_many(busy, stretches):
    """Ask the log for all stretches; give each one's pieces."""
    rows = np.array(
        [(one.start_ns, one.end_ns, one.thread, one.sequence, one.name) for one in busy], np.int64
    ).reshape(-1, 5)
    log = Log({WORKER: rows}, {WORKER: rows[:, 4]})
    low, high = np.array(stretches, np.int64).T
    count = len(stretches)
    group = np.full(count, log.group(WORKER, THREAD))
    found = log.preemptions(group, low, high, np.full(count, OWN), np.zeros(count, np.int64))
    pieces = [[] for _ in stretches]
    for at, since, until, name in zip(*(column.tolist() for column in found), strict=True):
        pieces[at].append((since, until, NAMES[name - 1]))
    return pieces


def test_others_are_clipped_to_the_stretch_and_the_request_itself_is_no_other():
    busy = busy_of([(0, 10, 2), (5, 10, OWN), (5, 10, 0)])  # 100-110, 115-125, 130-140
    assert of_many(busy, [(105, 135)]) == [[(105, 110, "first"), (130, 135, "first")]]


def test_of_two_at_once_the_one_that_ended_first_keeps_the_time():
    busy = [Busy(100, 120, THREAD, 2, 1), Busy(110, 130, THREAD, 3, 2)]
    assert of_many(busy, [(90, 140)]) == [[(100, 120, "first"), (120, 130, "second")]]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 2)), max_size=8),
    st.lists(st.tuples(st.integers(90, 220), st.integers(0, 60)), min_size=1, max_size=5),
)
def test_many_stretches_at_once_say_what_each_says(gaps, wanted):
    busy = busy_of(gaps)
    stretches = [(low, low + length) for low, length in wanted]
    blame = Blame(busy, OWN, NAMES)
    assert of_many(busy, stretches) == [blame.preemptions(*one, THREAD) for one in stretches]
