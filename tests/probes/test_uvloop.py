"""uvloop's seams are its class's: a loop that requests run on looks as any other."""

from __future__ import annotations

import asyncio
import time
import types
from array import array

import pytest

from tracer import install, uninstall
from tracer.model.current import CURRENT
from tracer.model.marks import BUSY_INTS
from tracer.model.native import native
from tracer.model.timeline import AWAITS, READY, SPAWN, TIMER, Timeline
from tracer.recording.memory import MemorySink
from tracer.runtime.loop_state import WATCHED
from tracer.runtime.recorder import installed
from tracer.runtime.tasks import followed

uvloop = pytest.importorskip("uvloop")
METHODS = ("create_task", "call_soon", "call_soon_threadsafe", "call_later", "run_in_executor")


@pytest.fixture
def timeline():
    assert install(MemorySink()) is not None
    yield Timeline(1, 0, 0, 0)
    uninstall()


async def work():
    async def child():
        await asyncio.sleep(0.001)

    await asyncio.get_running_loop().create_task(child())
    return asyncio.get_running_loop()


def run(timeline):
    async def main():
        CURRENT.set(timeline)
        return await followed(work(), timeline, 0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def test_a_request_s_tasks_timers_and_wakes_are_marked(timeline):
    run(timeline)
    codes = {code for code, *_ in timeline.marks()}
    assert {SPAWN, TIMER, READY, AWAITS} <= codes


@pytest.mark.skipif(native is None, reason="Python's keep it on the loop")
def test_a_loop_that_was_watched_has_nothing_of_its_own(timeline):
    loop = run(timeline)
    assert hasattr(loop, WATCHED)
    assert vars(loop) == {}


def test_what_stood_in_is_gone_afterwards():
    inherited = [vars(uvloop.Loop).get(name) for name in METHODS]
    assert install(MemorySink()) is not None
    assert all(
        vars(uvloop.Loop)[name] is not one for name, one in zip(METHODS, inherited, strict=True)
    )
    uninstall()
    assert [vars(uvloop.Loop).get(name) for name in METHODS] == inherited == [None] * len(METHODS)


def test_a_loop_of_somebody_s_own_class_is_served_by_uvloop_s(timeline):
    class Loop(uvloop.Loop):
        """Nothing of its own."""

    async def main():
        CURRENT.set(timeline)
        return await followed(work(), timeline, 0)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
    assert {SPAWN, TIMER, READY} <= {code for code, *_ in timeline.marks()}


TURN_NS = 50_000_000


def spins(now=time.perf_counter_ns, duration=TURN_NS):
    start = now()
    while now() - start < duration:
        pass


def spun(callback):
    """Return how many turns of the loop are told of that took as long as the callback."""

    async def main():
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0.01)

    busy = installed().busy
    busy.take()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    told = iter(array("q", busy.take()))
    return sum(end - start >= TURN_NS for start, end, *_ in zip(*[told] * BUSY_INTS, strict=True))


def test_what_passes_asyncio_s_results_on_is_not_timed_and_all_else_is(timeline):
    plumbing = types.FunctionType(spins.__code__, vars(asyncio.futures), None, spins.__defaults__)
    assert spun(spins) == 1
    assert spun(plumbing) == 0
