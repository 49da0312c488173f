"""What every event loop's seams have in common, asyncio's own and uvloop's.

asyncio's loops are wrapped where their base class has its methods, uvloop's where their class
has them, and each wrapper leaves a loop alone that no traced request has run on. A loop of another
kind gets the same wrappers on its instance. asyncio's `call_soon` lives on every loop, as it comes
and goes.

Loops are never asked for their `__dict__`, and asyncio's get two attributes: CPython keeps an
object's attributes in an array while nobody asks for a dictionary (to 3.12) and as long as there
are less than 30 of them. asyncio's loop has 26 in 3.13. Without the array each of its own lookups
takes several times as long: 600,000 instructions for a request of 17 hand-offs. uvloop's get none.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import types
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import (
    CALL_SUBMIT,
    CALL_SUBMITTED,
    NOTIFIED,
    READY,
    TIMER,
    TIMER_DUE,
    Timeline,
)
from tracer.runtime.loop_state import WATCHED
from tracer.runtime.scopes import finish_wrapper, mark, mark_at
from tracer.runtime.tasks import WAITING, Waiting, follow_task, is_followed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder

notifying: dict[int, tuple[Timeline, int]] = {}
"""By thread: the hop whose result that thread is about to hand to its loop."""

_NANOSECONDS: Final = 1_000_000_000
_NEVER_NS: Final = 1 << 62


def is_own(loop: object) -> bool:
    """Say whether the wrappers of asyncio's base class serve a loop."""
    return isinstance(loop, asyncio.BaseEventLoop)


def is_uvloop(loop: object) -> bool:
    """Say whether those of uvloop's class do."""
    return any(kind.__module__.partition(".")[0] == "uvloop" for kind in type(loop).__mro__)


def is_known(loop: object) -> bool:
    """Say whether a loop's class has been wrapped, so that its instance needn't be."""
    return is_own(loop) or is_uvloop(loop)


def make_wrapper(loop: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Wrap a method on a loop's instance by what `make` makes of the method, unbound."""
    setattr(loop, name, types.MethodType(make(_unbound(loop, name)), loop))


def _unbound(loop: Any, name: str) -> Any:
    bound = getattr(loop, name)
    if inspect.ismethod(bound) and bound.__self__ is loop:
        return bound.__func__
    if inspect.isbuiltin(bound):
        return getattr(type(loop), name)
    return lambda _loop, *args, **kwargs: bound(*args, **kwargs)


def watch(recorder: Recorder, loop: Any) -> None:
    """Wrap what a loop that is no uvloop's has of its own."""
    waiting = Waiting(loop, loop.call_soon, _call_soon(loop.call_soon))
    getattr(loop, WATCHED)[WAITING] = waiting
    if not is_own(loop):
        make_wrapper(loop, "create_task", functools.partial(create_task, recorder))
        make_wrapper(
            loop, "call_soon_threadsafe", functools.partial(call_soon_threadsafe, recorder)
        )


def create_task(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Follow each task that a traced request creates."""

    @functools.wraps(original)
    def create_task(self: Any, coro: Any, **kwargs: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None or not hasattr(self, WATCHED) or is_followed(coro):
            return original(self, coro, **kwargs)
        if getattr(coro, "cr_code", None) in recorder.untracked:
            context = kwargs.pop("context", None) or contextvars.copy_context()
            context.run(CURRENT.set, None)
            return original(self, coro, context=context, **kwargs)
        return follow_task(timeline, coro, functools.partial(original, self), **kwargs)

    return create_task


def call_at(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Mark timers of a loop whose `call_later` goes through `call_at` (asyncio's own)."""

    @functools.wraps(original)
    def call_at(self: Any, when: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        _mark_timer(self, callback, args, 0, when)
        return original(self, when, callback, *args, **kwargs)

    return call_at


def call_later(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Mark timers of a loop whose `call_at` goes through `call_later` (uvloop)."""

    @functools.wraps(original)
    def call_later(self: Any, delay: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        _mark_timer(self, callback, args, now(), delay)
        return original(self, delay, callback, *args, **kwargs)

    return call_later


def call_soon_threadsafe(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Mark when a thread has handed a result to its loop, or asked it for a coroutine."""

    def bridged(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        timeline = CURRENT.get()
        if (
            timeline is None
            or getattr(callback, "__name__", "") != "create_task"
            or not hasattr(self, WATCHED)
        ):
            return original(self, callback, *args, context=context)
        mark(timeline, CALL_SUBMIT, 0)
        try:
            return original(self, callback, *args, context=context)
        finally:
            mark(timeline, CALL_SUBMITTED, 0)

    if native is not None:
        return finish_wrapper(native.call_soon_threadsafe(original, CURRENT, bridged), original)

    @functools.wraps(original)
    def call_soon_threadsafe(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        hop = notifying.pop(ident(), None)
        if hop is None:
            return bridged(self, callback, *args, context=context)
        try:
            return original(self, callback, *args, context=context or _context_of(hop[0]))
        finally:
            mark(hop[0], NOTIFIED, hop[1])

    return call_soon_threadsafe


def _call_soon(original: Callable[..., Any]) -> Callable[..., Any]:
    if native is not None:
        return finish_wrapper(native.call_soon(original, CURRENT), original)

    def call_soon(callback: Any, *args: Any, context: Any = None) -> Any:
        mark_ready(callback, context)
        return original(callback, *args, context=context)

    return call_soon


def mark_ready(callback: Any, context: contextvars.Context | None) -> None:
    """Mark that a task of a request has got what it waited for, where a callback is a task's."""
    timeline = context.get(CURRENT) if context is not None else None
    if timeline is not None:
        task = getattr(callback, "__self__", None)
        if task is not None:
            mark(timeline, READY, id(task))


def _context_of(timeline: Timeline) -> contextvars.Context:
    """Return what the handle would copy by itself, and whose hand-off it is."""
    context = contextvars.copy_context()
    context.run(CURRENT.set, timeline)
    return context


def _mark_timer(
    loop: object, callback: Any, args: tuple[Any, ...], since_ns: int, seconds: float
) -> None:
    """Mark a timer that is due `seconds` after an instant; one of infinity is never due."""
    timeline = CURRENT.get()
    if timeline is not None and hasattr(loop, WATCHED):
        try:
            due_ns = since_ns + round(max(seconds, 0) * _NANOSECONDS)
        except (TypeError, ValueError, OverflowError):
            return
        if due_ns > _NEVER_NS:
            return
        future = args[0] if args else getattr(callback, "__self__", None)
        here = ident()
        mark(timeline, TIMER, id(future))
        mark_at(timeline, (TIMER_DUE, due_ns, here, id(future)))
