from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import weakref
from unittest import mock

import pytest

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import ENTER, EXIT, Timeline
from tracer.runtime import scopes

only_pure = pytest.mark.skipif(native is not None, reason="in C a mark can't be made to raise")


class Target:
    def method(self, a):
        return self, a

    async def coroutine(self, a):
        await asyncio.sleep(0)
        return a


def function(request):
    return request


def codes(timeline):
    return [(code, value) for code, _, _, value in timeline.marks()]


def test_a_scope_marks_its_begin_and_end(timeline):
    assert scopes.scoped(function, 7)("x") == "x"
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]


def test_a_scope_ends_when_its_code_raises(timeline):
    with pytest.raises(ZeroDivisionError):
        scopes.scoped(lambda: 1 / 0, 7)()
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]


def test_a_scope_of_a_coroutine_function_stays_one_and_ends_when_cancelled(timeline):
    async def forever():
        await asyncio.sleep(60)

    in_scope = scopes.scoped(forever, 7)
    assert inspect.iscoroutinefunction(in_scope)

    async def main():
        task = asyncio.ensure_future(in_scope())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]


def test_outside_a_request_a_scope_is_the_function_alone():
    assert scopes.scoped(function, 7)(3) == 3
    assert asyncio.run(scopes.scoped(Target.coroutine, 7)(None, 4)) == 4


@pytest.mark.parametrize("make", [scopes.scoped, None])
def test_names_and_attributes_of_the_original_are_kept(make, timeline):
    function.csrf_exempt = True
    made = scopes.scoped(function, 7)
    assert (made.__name__, made.__module__, made.csrf_exempt) == ("function", __name__, True)
    assert made.__wrapped__ is function
    assert scopes.scoped(Target().method, 7).__self__.__class__ is Target
    assert scopes.once(timeline, function, 7, waits=False).__qualname__ == "function"


class Failing(Timeline):
    """A timeline that takes no marks at all."""

    def __init__(self):
        super().__init__(1, 0, 0, 0)
        self.append = self.fail

    def fail(self, _mark):
        raise MemoryError("no room")


@only_pure
@pytest.mark.parametrize("form", ["scoped", "once"])
def test_a_recorder_that_raises_breaks_neither_result_nor_exception(form, caplog):
    timeline = Failing()
    token = CURRENT.set(timeline)

    def wrap(wrapped):
        if form == "once":
            waits = inspect.iscoroutinefunction(wrapped)
            return scopes.once(timeline, wrapped, 7, waits=waits)
        return scopes.scoped(wrapped, 7)

    try:
        assert wrap(function)(5) == 5
        timeline.append = timeline.fail
        with pytest.raises(ZeroDivisionError):
            wrap(lambda: 1 / 0)()
        timeline.append = timeline.fail
        assert asyncio.run(wrap(Target.coroutine)(None, 6)) == 6
    finally:
        CURRENT.reset(token)
    assert timeline.marks() == []


@only_pure
def test_a_failing_recorder_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(scopes, "_warned", set())
    for _ in range(3):
        scopes.mark(Failing(), ENTER, 1)
    (record,) = caplog.records
    assert "the request goes on untraced" in record.message


class Link:
    """A middleware as Django makes them: a call that gives a coroutine, marked as such."""

    def __init__(self, give):
        self.give, self.called = give, []
        scopes.mark_coroutine_function(self)

    def __call__(self, *args, **kwargs):
        self.called.append((args, kwargs))
        return self.give()


async def answer():
    await asyncio.sleep(0)
    return "answer"


def test_what_gives_a_coroutine_is_called_within_its_scope_when_that_is_awaited(timeline):
    link = Link(answer)
    call = scopes.scoped(link, 7)("request", more=1)
    assert inspect.iscoroutine(call)
    assert not link.called
    assert not codes(timeline)
    assert asyncio.run(waited(call)) == "answer"
    assert link.called == [(("request",), {"more": 1})]
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]
    with pytest.raises(RuntimeError, match="already awaited"):
        asyncio.run(waited(call))


class Asked:
    async def ask(self, question):
        return self, question


def test_a_scope_stands_in_for_a_coroutine_method_of_an_instance(timeline):
    asked = Asked()
    ask = scopes.scoped(asked.ask, 7)
    assert inspect.iscoroutinefunction(ask)
    assert asyncio.run(waited(ask("why"))) == (asked, "why")
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]


async def waited(call):
    return await call


def test_what_gives_anything_to_await_is_awaited(timeline):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_result("now")
        task = asyncio.create_task(answer())
        return [await scopes.scoped(Link(lambda one=one: one), 7)() for one in (future, task)]

    assert asyncio.run(main()) == ["now", "answer"]
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)] * 2


def test_what_gives_nothing_to_await_fails_as_it_does_without_a_scope(timeline):
    for link in (Link(lambda: None), scopes.scoped(Link(lambda: None), 7)):
        with pytest.raises(TypeError, match="NoneType"):
            asyncio.run(waited_of(link))
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]


async def waited_of(link):
    return await link()


def test_what_raises_before_it_gives_a_coroutine_ends_its_scope(timeline):
    def fail():
        raise LookupError("early")

    with pytest.raises(LookupError, match="early"):
        asyncio.run(waited_of(scopes.scoped(Link(fail), 7)))
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]


@pytest.mark.parametrize("kind", [Link(answer), answer], ids=["called", "coroutine"])
def test_a_scope_that_is_never_awaited_warns_once_and_runs_nothing(timeline, kind):
    made = scopes.scoped(kind, 7)
    with pytest.warns(RuntimeWarning, match="never awaited") as warned:
        made()
    assert len(warned) == 1
    assert not getattr(kind, "called", None)
    assert not codes(timeline)


def test_a_scope_closed_before_it_begins_runs_nothing(timeline):
    link = Link(answer)
    call = scopes.scoped(link, 7)()
    call.close()
    with pytest.raises(RuntimeError, match="already awaited"):
        call.send(None)
    assert not link.called
    assert not codes(timeline)


def test_a_scope_into_which_is_thrown_ends(timeline):
    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "heard"

    async def main():
        task = asyncio.create_task(scopes.scoped(Link(stubborn), 7)())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == "heard"
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)]


class Bare:
    """To be awaited, by an iterator that knows neither `throw` nor `close`."""

    def __await__(self):
        return iter([None, None])


def test_what_is_awaited_may_know_nothing_of_throwing_and_closing(timeline):
    async def main():
        task = asyncio.create_task(scopes.scoped(Link(Bare), 7)())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    call = scopes.scoped(Link(Bare), 7)()
    call.send(None)
    call.close()
    assert codes(timeline) == [(ENTER, 7), (EXIT, 7)] * 2


class Response:
    """Counts its closings."""

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_a_method_put_in_for_one_call_takes_itself_out_and_keeps_nothing_alive(timeline):
    response = Response()
    response.close = scopes.once_as("close", timeline, response.close, 7)
    response.close()
    assert "close" not in vars(response)
    response.close()
    assert response.closed == 2
    assert [mark[0] for mark in timeline.marks()] == [ENTER, EXIT]
    gone = weakref.ref(response)
    gc.disable()
    try:
        del response
        assert gone() is None
    finally:
        gc.enable()


def test_what_another_put_there_for_a_method_stays_callable(timeline):
    response, called = Response(), []
    response.close = lambda: called.append("theirs")
    response.close = scopes.once_as("close", timeline, response.close, 7)
    response.close()
    response.close()
    assert called == ["theirs", "theirs"]
    assert not response.closed


@pytest.mark.skipif(native is None, reason="only in C")
def test_what_a_server_reads_is_a_head_until_the_method_is_known(timeline):
    reading = native.read_scope(CURRENT, lambda word: word.upper(), 5, 4)
    assert contextvars.Context().run(reading, "untraced") == "UNTRACED"
    reading("head")
    timeline.method = 3
    assert reading("body") == "BODY"
    assert codes(timeline) == [(ENTER, 4), (EXIT, 4), (ENTER, 5), (EXIT, 5)]


def test_what_answers_to_any_attribute_is_no_coroutine_function():
    class Proxy:
        def __getattr__(self, name):
            return Proxy()

        def __call__(self):
            return 7

    assert not scopes.is_coroutine_function(Proxy())
    assert not scopes.is_coroutine_function(mock.MagicMock())
    assert scopes.scoped(Proxy(), 1)() == 7
