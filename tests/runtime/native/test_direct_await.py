"""A coroutine that is awaited where it is called is its own, and its scope ends when it does."""

from __future__ import annotations

import asyncio
import gc
import sys
import types

import pytest

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import ENTER, EXIT
from tracer.runtime import scopes

pytestmark = pytest.mark.skipif(
    native is None or sys.version_info < (3, 12),
    reason="without C, or frames that can be asked, something stands between",
)
OUTER, INNER = 1, 2


def told(timeline):
    return [(code, value) for code, _, _, value in timeline.marks()]


async def answers(value=7):
    await asyncio.sleep(0)
    return value


async def fails():
    await asyncio.sleep(0)
    raise LookupError


class Later:
    """Gives what is awaited without being a coroutine."""

    def __await__(self):
        return answers(8).__await__()


inner = scopes.scoped(answers, INNER)


async def awaits_at_once():
    return await inner()


async def awaits_it_later():
    call = inner()
    scopes.mark(CURRENT.get(), 99, 0)
    return await call


outer = scopes.scoped(awaits_at_once, OUTER)


async def awaits_outer():
    return await outer()


def chain(coroutine):
    """Return the kinds of what is awaited, one by another, once it has begun."""
    coroutine.send(None)
    found = []
    while coroutine is not None:
        found.append(type(coroutine))
        coroutine = getattr(coroutine, "cr_await", None)
    return found


def test_nothing_stands_between_it_and_who_awaits_it(timeline):
    running = awaits_outer()
    assert chain(running)[:4] == [types.CoroutineType] * 4
    running.close()


def test_what_is_kept_before_it_is_awaited_begins_when_it_is(timeline):
    assert asyncio.run(awaits_it_later()) == 7
    assert told(timeline) == [(99, 0), (ENTER, INNER), (EXIT, INNER)]


def test_scopes_end_inside_out_and_values_come_through(timeline):
    assert asyncio.run(awaits_outer()) == 7
    assert told(timeline) == [(ENTER, OUTER), (ENTER, INNER), (EXIT, INNER), (EXIT, OUTER)]


def test_a_scope_has_ended_when_its_exception_is_caught(timeline):
    failing = scopes.scoped(fails, INNER)
    seen = []

    async def catches():
        try:
            await failing()
        except LookupError as error:
            seen.extend(told(timeline))
            return error.__traceback__
        raise AssertionError

    kept = asyncio.run(catches())
    assert kept is not None
    assert seen == [(ENTER, INNER), (EXIT, INNER)] == told(timeline)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_scope_that_is_left_in_the_middle_ends(timeline, how):
    if how == "closed":
        running = awaits_outer()
        running.send(None)
        running.close()
    else:

        async def main():
            task = asyncio.ensure_future(awaits_outer())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
    assert told(timeline) == [(ENTER, OUTER), (ENTER, INNER), (EXIT, INNER), (EXIT, OUTER)]


@pytest.mark.parametrize(
    ("gives", "expected"), [(Later, 8), (lambda: 5, TypeError), (lambda: 1 / 0, ZeroDivisionError)]
)
def test_what_gives_no_coroutine_has_its_scope_as_well(timeline, gives, expected):
    waits = native.async_scope(CURRENT, gives, INNER, False)

    async def main():
        return await waits()

    if isinstance(expected, int):
        assert asyncio.run(main()) == expected
    else:
        with pytest.raises(expected):
            asyncio.run(main())
    assert told(timeline) == [(ENTER, INNER), (EXIT, INNER)]


def test_nothing_is_kept_of_it_once_it_has_ended(timeline):
    before = sys.getrefcount(timeline)
    assert asyncio.run(awaits_outer()) == 7
    gc.collect()
    assert sys.getrefcount(timeline) == before


def test_calls_of_one_line_are_told_apart(timeline):
    async def main():
        kept, done = inner(), await inner()
        return done, await kept

    assert asyncio.run(main()) == (7, 7)
    assert told(timeline) == [(ENTER, INNER), (EXIT, INNER)] * 2


def test_of_more_calls_than_are_remembered_each_is_known(timeline):
    many = 1_000
    lines = "\n".join(
        f"    total += await inner(); kept = inner(); total += await kept  # {n}"
        for n in range(many // 2)
    )
    namespace = {"inner": inner}
    text = f"async def main():\n    total = 0\n{lines}\n    return total"
    exec(text, namespace)  # noqa: S102 - nobody writes that many calls
    for _ in range(2):
        assert asyncio.run(namespace["main"]()) == 7 * many
    assert told(timeline) == [(ENTER, INNER), (EXIT, INNER)] * 2 * many
