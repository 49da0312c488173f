"""A hand-off's result goes back to its loop, in C: in a context of the request's, one a loop."""

from __future__ import annotations

import contextvars
import threading

import pytest

from tracer.model.current import CURRENT
from tracer.model.marks import Log
from tracer.model.native import native
from tracer.model.timeline import NOTIFIED, Timeline

pytestmark = pytest.mark.skipif(native is None, reason="Python makes a context each time")
OTHER = contextvars.ContextVar("OTHER", default="nobody's")


class Recorder:
    """Is never asked: nothing takes long enough."""


class Loop:
    """Keeps the contexts that its handles would run in."""

    def __init__(self):
        self.contexts = []

    def call_soon_threadsafe(self, callback, *args, context=None):
        self.contexts.append(context)


poke = native and native.call_soon_threadsafe(
    Loop.call_soon_threadsafe, CURRENT, Loop.call_soon_threadsafe
)


def hand_back(timeline, loop, hop):
    native.run_handoff(Recorder(), Log(), 1 << 60, timeline, hop, lambda: "done")
    poke(loop, print)


def current_in(context):
    return context.run(CURRENT.get)


def test_results_of_one_request_come_back_in_one_context_of_its_own():
    timeline, other, loop = Timeline(1, 0, 0, 0), Timeline(2, 0, 0, 0), Loop()
    for hop in (1, 2):
        hand_back(timeline, loop, hop)
    hand_back(other, loop, 1)
    first, second, third = loop.contexts
    assert first is second is not third
    assert current_in(first) is timeline
    assert current_in(third) is other
    assert CURRENT.get() is None
    assert [mark[3] for mark in timeline.marks() if mark[0] == NOTIFIED] == [1, 2]


def test_two_loops_never_meet_in_a_context():
    timeline, outer, inner = Timeline(1, 0, 0, 0), Loop(), Loop()
    for loop in (outer, inner, outer, inner):
        hand_back(timeline, loop, 1)
    assert outer.contexts[0] is outer.contexts[1]
    assert len({id(context) for context in (*outer.contexts, *inner.contexts)}) == 3
    assert {id(current_in(context)) for context in inner.contexts} == {id(timeline)}


def test_a_request_that_is_over_keeps_no_context():
    timeline, loop = Timeline(1, 0, 0, 0), Loop()
    timeline.drop()
    for _ in range(2):
        hand_back(timeline, loop, 1)
    assert loop.contexts[0] is not loop.contexts[1]


def test_the_context_is_a_copy_of_what_the_thread_had():
    timeline, loop = Timeline(1, 0, 0, 0), Loop()

    def with_a_value():
        OTHER.set("the thread's")
        hand_back(timeline, loop, 1)

    contextvars.copy_context().run(with_a_value)
    assert loop.contexts[0].run(OTHER.get) == "the thread's"


def test_threads_that_follow_each_other_are_told_apart():
    found = []

    def run():
        timeline, loop = Timeline(1, 0, 0, 0), Loop()
        poke(loop, print)  # nothing was handed over here
        hand_back(timeline, loop, 7)
        poke(loop, print)
        found.append([context is not None for context in loop.contexts])

    for _ in range(20):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert found == [[False, True, False]] * 20
