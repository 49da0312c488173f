"""A coroutine that is followed is a coroutine as the one it follows, and ends once."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
from types import SimpleNamespace

import pytest

from tracer.model.native import native
from tracer.model.timeline import DONE, STEP, YIELD, Timeline
from tracer.runtime import tasks

KINDS = [tasks.PureSteps, *([native.Steps] if native is not None else [])]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def follow(request):
    def followed(coroutine, timeline=None, end=None, begin=lambda _: None):
        within = Timeline(1, 0, 0, 0) if timeline is None else timeline
        made = (coroutine, within, 3, begin, lambda *_: None)
        return request.param(*made, *([end] if end is not None else []))

    return followed


def codes(timeline):
    return [code for code, *_ in timeline.marks()]


async def answers():
    await asyncio.sleep(0)
    return 7


async def main_of(follow, *given, **more):
    return await asyncio.get_running_loop().create_task(follow(*given, **more))


def test_it_gives_what_its_coroutine_gives_and_marks_each_step(follow):
    timeline, ended = Timeline(1, 0, 0, 0), []
    assert asyncio.run(main_of(follow, answers(), timeline, lambda: ended.append(True))) == 7
    assert codes(timeline) == [STEP, YIELD, STEP, DONE]
    assert ended == [True]


def test_what_its_coroutine_raises_leaves_it_and_it_is_over(follow):
    timeline, ended = Timeline(1, 0, 0, 0), []

    async def fails():
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(main_of(follow, fails(), timeline, lambda: ended.append(True)))
    assert codes(timeline)[-1] == DONE
    assert ended == [True]


@pytest.mark.parametrize("how", ["cancel", "wait_for"])
def test_a_task_that_is_cancelled_before_its_first_step_warns_of_nothing(follow, how):
    """Warnings are errors here: `coroutine 'answers' was never awaited` would be one."""
    ended = []

    async def main():
        followed = follow(answers(), end=lambda: ended.append(True))
        task = asyncio.get_running_loop().create_task(followed)
        if how == "cancel":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            await (task if how == "cancel" else asyncio.wait_for(task, 0))

    asyncio.run(main())
    gc.collect()
    assert ended == [True]


def test_values_sent_in_reach_the_coroutine(follow):
    class Asks:
        def __await__(self):
            return (yield "what?")

    async def asks():
        return await Asks()

    followed = follow(asks())
    assert followed.send(None) == "what?"
    with pytest.raises(StopIteration) as stopped:
        followed.send("that")
    assert stopped.value.value == "that"


def test_outside_asyncio_a_root_runs_all_the_same():
    timeline, closed = Timeline(1, 0, 0, 0), []

    async def runs():
        return 7

    recorder = SimpleNamespace(close=closed.append)
    root = tasks.root_track(recorder, timeline, runs(), lambda: None)
    with pytest.raises(StopIteration) as stopped:
        contextvars.copy_context().run(root.send, None)
    assert stopped.value.value == 7
    assert closed == [timeline]


def test_one_that_nobody_runs_on_is_closed(follow):
    timeline, ended, closed = Timeline(1, 0, 0, 0), [], []

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def main():
        followed = follow(waits(), timeline, lambda: ended.append(True))
        followed.send(None)
        del followed
        gc.collect()

    asyncio.run(main())
    assert (closed, ended, codes(timeline)[-1]) == ([True], [True], DONE)


def test_it_says_of_itself_what_its_coroutine_says(follow):
    coroutine = answers()
    followed = follow(coroutine)
    assert inspect.iscoroutine(followed) or isinstance(followed, tasks.PureSteps)
    assert asyncio.iscoroutine(followed)
    assert followed.__qualname__ == "answers"
    assert followed.cr_code is answers.__code__
    coroutine.close()
