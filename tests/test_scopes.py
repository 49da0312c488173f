from __future__ import annotations

import asyncio
import inspect

import pytest

from tracer import scopes
from tracer.accelerator import native
from tracer.recorder import CURRENT
from tracer.timeline import ENTER, EXIT, Timeline

only_pure = pytest.mark.skipif(native is not None, reason="in C a mark can't be made to raise")


class Target:
    def method(self, a):
        return self, a

    async def coroutine(self, a):
        await asyncio.sleep(0)
        return a


def function(request):
    return request


@pytest.fixture
def timeline():
    made = Timeline(1, 0, 0, 0)
    token = CURRENT.set(made)
    yield made
    CURRENT.reset(token)


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
