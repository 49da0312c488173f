from __future__ import annotations

import math
import time

import numpy as np
import pytest

from tests.export.test_span_pipeline import WORKER, frame_of
from tracer.analysis.shapes.tally_builder import tallies_planner
from tracer.export import messages, timeline_buffer
from tracer.export.timeline_buffer import TimelineBuffer
from tracer.model import frames

HELD_S = 0.1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timeline_buffer, "_HELD_S", HELD_S)


class Filled(TimelineBuffer):
    """A buffer that counts what it can't read and knows a worker."""

    def __init__(self):
        self.unreadable = 0
        super().__init__(tallies_planner(), self.refuse)
        self.take(messages.description(WORKER, {"pid": 7}))
        self.take(messages.names(WORKER, ["wsgi"]))

    def refuse(self):
        self.unreadable += 1

    def add(self, *numbers):
        for number in numbers:
            self.take(messages.Message(frames.TIMELINE, WORKER, frame_of(number)))


def sequences(batches):
    return [[head.sequence for head in batch.planned.batch.heads] for batch in batches]


def test_few_are_held_for_a_while_and_come_together():
    buffer = Filled()
    assert buffer.due_in_s == math.inf
    buffer.add(1)
    assert sequences(buffer.due()) == []
    time.sleep(1.5 * HELD_S)
    buffer.add(2)
    assert 0 < buffer.due_in_s <= HELD_S
    time.sleep(buffer.due_in_s)
    assert sequences(buffer.due()) == [[1]]
    assert sequences(buffer.rest()) == [[2]]
    assert buffer.due_in_s == math.inf


def test_many_come_sooner(monkeypatch):
    monkeypatch.setattr(timeline_buffer, "_TOGETHER", 3)
    buffer = Filled()
    buffer.add(1, 2, 3, 4)
    assert HELD_S / 2 < buffer.due_in_s <= HELD_S
    time.sleep(HELD_S)
    assert sequences(buffer.due()) == [[1, 2, 3]]


def test_no_more_is_held_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(timeline_buffer, "_MOST", 0)
    buffer = Filled()
    buffer.add(1, 2)
    assert buffer.due_in_s == 0
    assert sequences(buffer.due()) == [[1, 2]]


def test_who_ran_meanwhile_is_known_even_if_that_is_told_later():
    buffer = Filled()
    buffer.add(1)
    late = np.array([(1_100, 1_200, 1, 0, 0)], "<i8").tobytes()
    buffer.take(messages.Message(frames.OCCUPANCY, WORKER, late))
    (batch,) = buffer.rest()
    assert batch.planned.batch.busy[WORKER].tolist() == [[1_100, 1_200, 1, 0, 0]]


def test_a_timeline_that_cannot_be_read_is_counted_and_costs_only_itself():
    buffer = Filled()
    buffer.add(1)
    buffer.take(messages.Message(frames.TIMELINE, WORKER, b"nonsense"))
    buffer.add(2)
    assert sequences(buffer.rest()) == [[1], [2]]
    assert buffer.unreadable == 1
