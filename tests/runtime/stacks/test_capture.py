"""A capture gives up before it harms the request that it looks at."""

from __future__ import annotations

import sys
import time

from tracer.model.stackframes import SAMPLED
from tracer.runtime.stacks import capture as stacks
from tracer.runtime.stacks.capture import Capture


def deep(levels, then):
    return then() if not levels else deep(levels - 1, then)


def test_samples_that_cost_more_than_half_of_the_time_are_taken_no_longer(timeline, monkeypatch):
    monkeypatch.setattr(stacks, "MOST_COST_NS", 1_000_000)
    capture = Capture(timeline, SAMPLED, 10_000)
    until = time.monotonic() + 20

    def sample():
        while not capture.closed and time.monotonic() < until:
            capture.sample(sys._getframe(), stacks.CALL, None)

    deep(300, sample)
    assert capture.closed
    assert capture.truncated
    assert capture.finish(1, 0).truncated


def test_samples_that_cost_little_of_the_time_go_on(timeline, monkeypatch):
    monkeypatch.setattr(stacks, "MOST_COST_NS", 0)
    capture = Capture(timeline, SAMPLED, 10_000_000)
    for _ in range(5):
        time.sleep(0.02)
        capture.sample(sys._getframe(), stacks.CALL, None)
    assert not capture.closed
