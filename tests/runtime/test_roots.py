"""A server's coroutine as the root of a request, in C: a coroutine like any, and it ends once."""

from __future__ import annotations

import asyncio
import gc
import inspect

import pytest

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import DONE, STEP, TASK, YIELD, Timeline
from tracer.recording.memory import MemorySink
from tracer.runtime import tasks as tracks
from tracer.runtime.recorder import Recorder

pytestmark = pytest.mark.skipif(native is None, reason="no accelerator")


class Ended:
    """What happened at the end, in order; it stands for a recorder as well."""

    def __init__(self):
        self.told = []
        self.recorder = Recorder(MemorySink())

    def watch_loop(self, loop):
        self.recorder.watch_loop(loop)

    def settle(self, timeline, cycle):
        self.told.append(("settle", timeline.sequence, cycle))

    def close(self, timeline):
        self.told.append(("close", [code for code, *_ in timeline.marks()]))


@pytest.fixture
def ended():
    return Ended()


def root_of(ended, coroutine, settle=None):
    roots = native.Roots(
        CURRENT, asyncio.get_running_loop, asyncio.current_task, tracks._mark_awaited, ended
    )
    return roots(Timeline(7, 0, 0, 0), coroutine, settle or ended.settle, "cycle")


async def answer(value=3):
    await asyncio.sleep(0)
    timeline = CURRENT.get()
    return value, timeline.sequence


def test_it_gives_what_its_coroutine_gives_and_is_closed_after(ended):
    async def main():
        return await asyncio.get_running_loop().create_task(root_of(ended, answer()))

    assert asyncio.run(main()) == (3, 7)
    codes = [TASK, STEP, YIELD, STEP, DONE]
    assert ended.told == [("settle", 7, "cycle"), ("close", codes)]


def test_it_is_taken_for_the_coroutine_it_runs(ended):
    coroutine = answer()
    root = root_of(ended, coroutine)
    assert asyncio.iscoroutine(root)
    assert inspect.isawaitable(root)
    assert root.__qualname__ == "answer"
    assert root.cr_code is answer.__code__
    root.close()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_one_that_never_ran_is_nobody_s_request(ended, recwarn):
    root_of(ended, answer()).close()
    assert not ended.told
    assert not recwarn.list
    with pytest.warns(RuntimeWarning, match="'answer' was never awaited"):
        root_of(ended, answer())
    assert not ended.told


def test_an_exception_leaves_it_as_it_is(ended):
    async def fails():
        await asyncio.sleep(0)
        raise KeyError("told")

    async def main():
        await root_of(ended, fails())

    with pytest.raises(KeyError, match="told") as caught:
        asyncio.run(main())
    assert caught.traceback[-1].name == "fails"
    assert [what for what, *_ in ended.told] == ["settle", "close"]


def test_a_cancelled_one_is_closed(ended):
    async def main():
        task = asyncio.ensure_future(root_of(ended, asyncio.sleep(10)))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert [what for what, *_ in ended.told] == ["settle", "close"]


def test_one_whose_loop_has_gone_is_closed_once(ended):
    async def main():
        root = root_of(ended, asyncio.sleep(10))
        root.send(None)

    asyncio.run(main())
    gc.collect()
    assert [what for what, *_ in ended.told] == ["settle", "close"]


def test_it_can_not_be_run_twice(ended):
    async def main():
        root = root_of(ended, answer())
        await root
        with pytest.raises(RuntimeError):
            await root

    asyncio.run(main())
    assert len(ended.told) == 2


@pytest.mark.parametrize("breaks", ["settle", "close", "watch_loop"])
def test_what_breaks_of_ours_is_none_of_the_request_s(ended, breaks):
    def broken(*_args):
        raise ValueError

    setattr(ended, breaks, broken)

    async def main():
        return await root_of(ended, answer())

    assert asyncio.run(main())[0] == 3


def test_an_application_s_exception_is_told_and_goes_on():
    told = []

    async def application(scope):
        if scope == "late":
            await asyncio.sleep(0)
        raise KeyError(scope)

    def refuses(scope):
        raise KeyError(scope)

    async def main():
        CURRENT.set(Timeline(1, 0, 0, 0))
        for app, scope in ((application, "early"), (application, "late"), (refuses, "at once")):
            with pytest.raises(KeyError, match=scope):
                await native.noting(app, CURRENT, told.append)(scope)

    asyncio.run(main())
    assert [error.args for error in told] == [("early",), ("late",), ("at once",)]


def test_without_a_request_an_application_is_called_as_it_is():
    told = []

    async def application():
        raise KeyError

    coroutine = native.noting(application, CURRENT, told.append)()
    assert inspect.iscoroutine(coroutine)
    with pytest.raises(KeyError):
        coroutine.send(None)
    assert not told
