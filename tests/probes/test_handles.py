"""asyncio's own turn, entered from C: what a failing callback gets to see is asyncio's."""

from __future__ import annotations

import asyncio
import contextvars
import traceback

import pytest

from tracer.model.current import CURRENT
from tracer.model.marks import Log
from tracer.model.native import native
from tracer.runtime.recorder import Recorder

pytestmark = pytest.mark.skipif(native is None, reason="Python calls the original itself")
VARIABLE = contextvars.ContextVar("VARIABLE", default="nobody's")


class Nowhere:
    largest = 1000

    def write(self, *_):
        """Keep nothing."""

    describe = count = write


@pytest.fixture
def original(monkeypatch):
    """`Handle._run` as asyncio has it, while C wraps it."""
    found = asyncio.Handle._run
    recorder = Recorder(Nowhere())
    known = (CURRENT, recorder, Log(), lambda *_: None, 0, 1 << 60, asyncio.Handle)
    monkeypatch.setattr(asyncio.Handle, "_run", native.run_handle(found, *known))
    return found


def run(callback, *args):
    """What a loop's exception handler is told of a callback, and what the callback left."""
    told = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        context = contextvars.copy_context()
        context.run(VARIABLE.set, "the handle's")
        handle = loop.call_soon(callback, *args, context=context)
        await asyncio.sleep(0)
        return handle, context

    return told, *asyncio.run(main())


def fail(word):
    raise LookupError(word, VARIABLE.get())


def test_a_callback_runs_in_its_handles_context(original):
    seen = []
    told, _, context = run(lambda word: seen.append((word, VARIABLE.get())), "hello")
    assert (seen, told) == ([("hello", "the handle's")], [])
    assert context[VARIABLE] == "the handle's"


def test_a_failing_callback_is_told_of_as_asyncio_tells(original):
    told, handle, context = run(fail, "no such thing")
    (one,) = told
    assert one["message"].startswith("Exception in callback fail(")
    assert one["handle"] is handle
    assert handle._context is context
    assert one["exception"].args == ("no such thing", "the handle's")
    frames = [frame.name for frame in traceback.extract_tb(one["exception"].__traceback__)]
    assert frames == ["_run", "fail"]


def test_a_context_that_is_entered_already_is_told_of_as_asyncio_tells(original, caplog):
    context = contextvars.copy_context()

    async def main():
        loop = asyncio.get_running_loop()
        context.run(asyncio.Handle(fail, ("never",), loop, context)._run)

    asyncio.run(main())
    assert "Exception in callback fail(" in caplog.text
    assert "cannot enter context" in caplog.text
    assert "LookupError" not in caplog.text


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_loop_passes(original, end):
    def leave():
        raise end

    with pytest.raises(end):
        run(leave)


def test_a_cancelled_handle_calls_nothing(original):
    called = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_soon(called.append, "cancelled").cancel()
        loop.call_soon(called.append, "another")
        await asyncio.sleep(0)

    asyncio.run(main())
    assert called == ["another"]
