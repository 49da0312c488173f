"""Whoever asks for a hand-off gets what asgiref gives, and the request two marks."""

from __future__ import annotations

import asyncio
import gc
import inspect
import types

import pytest
from asgiref.sync import iscoroutinefunction

from tracer.model.native import native
from tracer.model.timeline import DONE, HOP, HOP_END, STEP, YIELD
from tracer.probes import asgiref
from tracer.runtime import call_sites as sites
from tracer.runtime import tasks as tracks


class Names:
    """Of a recorder what sites need."""

    def __init__(self):
        self.known = {}
        self.places = {}

    def place(self, name, code):
        self.places[name] = code

    def name(self, text):
        return self.known.setdefault(text, len(self.known) + 1)


@pytest.fixture(params=[pytest.param(False, id="python"), pytest.param(True, id="native")])
def asker(request, monkeypatch):
    """A class whose calls are hand-offs: it awaits what it was made with."""
    if not request.param:
        monkeypatch.setattr(sites, "native", None)
    elif native is None:
        pytest.skip("not built")

    class Asker:
        names = Names()

        def __init__(self, func):
            self.func = func

        async def __call__(self, *args, **kwargs):
            return await self.func(*args, **kwargs)

    Asker.original = Asker.__call__
    Asker.__call__ = asgiref._sync_to_async(Asker.names, Asker.__call__)
    return Asker


def codes(timeline):
    return [code for code, *_ in timeline.marks()]


async def answer(value, *, late=0):
    await asyncio.sleep(late)
    return value


async def fail():
    await asyncio.sleep(0)
    raise LookupError("nobody")


def test_an_answer_is_handed_back_and_the_hand_off_marked_with_its_site(asker, timeline):
    async def main():
        return await asker(answer)("a"), await asker(answer)(value="b")

    assert asyncio.run(main()) == ("a", "b")
    found = timeline.marks()
    assert [code for code, *_ in found] == [HOP, HOP_END] * 2
    assert {found[0][3], found[2][3]} == set(asker.names.known.values())
    assert all("test_asgiref" in name and name.endswith("answer") for name in asker.names.known)
    line = main.__code__.co_firstlineno + 1
    assert asker.names.places == dict.fromkeys(asker.names.known, (__file__, line))


def test_one_place_that_asks_is_one_site(asker, timeline):
    async def main():
        for _ in range(3):
            await asker(answer)("a")

    asyncio.run(main())
    assert len({value for code, _, _, value in timeline.marks() if code == HOP}) == 1


def test_an_exception_comes_out_as_it_is(asker, timeline):
    with pytest.raises(LookupError, match="nobody") as caught:
        asyncio.run(asker(fail)())
    assert caught.traceback[-1].name == "fail"
    assert codes(timeline) == [HOP, HOP_END]


def test_asyncio_takes_it_for_a_coroutine(asker, timeline):
    async def main():
        task = asyncio.create_task(asker(answer)("a"))
        both = await asyncio.gather(asker(answer)("b"), asker(answer)("c"))
        late = asyncio.wait_for(asker(answer)("d", late=10), 0.01)
        with pytest.raises(TimeoutError):
            await late
        return [await task, *both]

    assert iscoroutinefunction(asker.__call__)
    assert asyncio.run(main()) == ["a", "b", "c"]
    assert sorted(codes(timeline)) == [HOP] * 4 + [HOP_END] * 4


def test_who_is_cancelled_hears_it_and_may_still_answer(asker, timeline):
    heard = []

    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            heard.append(True)
            await asyncio.sleep(0)
        return "still"

    async def main():
        task = asyncio.create_task(asker(stubborn)())
        await asyncio.sleep(0.01)
        task.cancel()
        return await task

    assert asyncio.run(main()) == "still"
    assert heard == [True]
    assert codes(timeline) == [HOP, HOP_END]


def test_one_that_is_closed_on_the_way_ends_there(asker, timeline):
    cleaned = []

    async def waiting():
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    call = asker(waiting)()
    call.send(None)
    call.close()
    assert cleaned == [True]
    assert codes(timeline) == [HOP, HOP_END]
    left = asker(waiting)()
    left.send(None)
    del left
    gc.collect()
    assert cleaned == [True, True]
    assert codes(timeline) == [HOP, HOP_END] * 2


@pytest.mark.skipif(native is None, reason="not built")
def test_one_that_is_never_awaited_is_warned_of_once_and_marks_nothing(timeline):
    made = asgiref._sync_to_async(Names(), _Plain.__call__)
    with pytest.warns(RuntimeWarning, match="never awaited") as warned:
        made(_Plain())
    assert len(warned) == 1
    assert not codes(timeline)


def test_without_a_request_it_is_the_original_s_coroutine(asker):
    call = asker(answer)("a")
    assert type(call) is types.CoroutineType
    assert call.cr_code is asker.original.__code__
    assert asyncio.run(call) == "a"


@pytest.mark.skipif(native is None, reason="not built")
def test_what_c_gives_says_of_itself_what_a_coroutine_says(timeline):
    made = asgiref._sync_to_async(Names(), _Plain.__call__)
    call = made(_Plain())
    assert asyncio.iscoroutine(call)
    assert inspect.iscoroutine(call)
    assert call.cr_code is _Plain.__call__.__code__
    assert call.__qualname__ == "_Plain.__call__"
    assert inspect.isawaitable(call)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        call.nothing_like_it  # noqa: B018
    call.close()


class _Plain:
    func = answer

    async def __call__(self):
        return 1


@pytest.mark.parametrize("pure", [False, True])
def test_a_task_in_a_hand_off_is_not_searched_for_what_it_waits_for(timeline, pure):
    """A request with a task of its own, as Django's listener is, asks only where it may matter."""
    if not pure and native is None:
        pytest.skip("not built")
    asked = []

    @types.coroutine
    def step():
        yield

    async def main():
        timeline.children.append((lambda: None, 7))
        for handing in (0, tracks.ident()):
            timeline.handing = handing
            await step()

    async def drive():
        kind = tracks.PureSteps if pure else native.Steps
        steps = kind(main(), timeline, 0, lambda _: None, lambda *_: asked.append(True))
        for _ in steps:
            pass

    asyncio.run(drive())
    assert codes(timeline) == [STEP, YIELD, STEP, YIELD, STEP, DONE]
    assert asked == [True]
    assert not timeline.handing
