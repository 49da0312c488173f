"""The seams that live on an event loop's instance: asyncio's own and uvloop's alike.

Both loops let attributes be set on the instance, and the C code of tasks and futures
looks `call_soon` up there, so one set of stand-ins serves them all.
"""

from __future__ import annotations

import contextvars
import functools
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final

from tracer.accelerator import native
from tracer.clock import now
from tracer.recorder import CURRENT, LONG_NS, OCCUPANCY_FLOOR_NS
from tracer.scopes import attempt, mark, mark_at
from tracer.sites import describe
from tracer.timeline import (
    CALL_SUBMIT,
    CALL_SUBMITTED,
    NOTIFIED,
    READY,
    TIMER,
    TIMER_DUE,
    Timeline,
)
from tracer.tracks import WAITING, Waiting, follow_task, is_followed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tracer.recorder import Recorder

INSTANCE_SEAMS: Final = ("create_task", "call_soon", "call_soon_threadsafe")

notifying: dict[int, tuple[Timeline, int]] = {}
"""By thread: the hop whose result that thread is about to hand to its loop."""

READING: Final = "reading a request"
_SELF_PIPE: Final = "_read_from_self"
"""How asyncio's loop notices that another thread has woken it: its own turn."""
_NANOSECONDS: Final = 1_000_000_000
_NEVER_NS: Final = 1 << 62
_MOST_CALLBACKS: Final = 10_000


def watch(recorder: Recorder, loop: asyncio.AbstractEventLoop) -> None:
    """Stand in for the scheduling methods of a loop."""
    seams = loop.__dict__
    seams["create_task"] = _create_task(recorder, loop.create_task)
    seams[WAITING] = Waiting(seams, loop.call_soon, _call_soon(loop.call_soon))
    seams["call_soon_threadsafe"] = _call_soon_threadsafe(loop.call_soon_threadsafe)


def watch_call_at(loop: asyncio.AbstractEventLoop) -> None:
    """Mark timers of a loop whose `call_later` goes through `call_at` (asyncio's own)."""
    original = loop.call_at

    def call_at(when: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        _mark_timer(callback, args, 0, when)
        return original(when, callback, *args, **kwargs)

    loop.__dict__["call_at"] = call_at


def watch_call_later(loop: asyncio.AbstractEventLoop) -> None:
    """Mark timers of a loop whose `call_at` goes through `call_later` (uvloop)."""
    original = loop.call_later

    def call_later(delay: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        _mark_timer(callback, args, now(), delay)
        return original(delay, callback, *args, **kwargs)

    loop.__dict__["call_later"] = call_later


def log_callbacks(recorder: Recorder, loop: asyncio.AbstractEventLoop) -> None:
    """Time every callback of a loop whose handles can't be stood in for (uvloop).

    To be called before `watch`, whose stand-ins must see the callbacks themselves.
    """
    seams = loop.__dict__
    if native is not None:
        slow = functools.partial(log, recorder)
        timed = native.timed(log_callbacks, CURRENT, recorder, slow, OCCUPANCY_FLOOR_NS, LONG_NS)
        for method, place in (("call_soon", 0), ("call_soon_threadsafe", 0), ("call_later", 1)):
            seams[method] = native.scheduled(getattr(loop, method), timed, place)
        return

    def logged(callback: Any, *args: Any) -> None:
        start = now()
        try:
            callback(*args)
        finally:
            end = now()
            if end - start > OCCUPANCY_FLOOR_NS:
                log(recorder, start, end, CURRENT.get(), callback)

    for method in ("call_soon", "call_soon_threadsafe"):
        seams[method] = _with_logged(logged, getattr(loop, method))
    seams["call_later"] = _with_logged_timer(logged, loop.call_later)


def log(
    recorder: Recorder, start_ns: int, end_ns: int, timeline: Timeline | None, callback: Any
) -> None:
    """Note a callback that took long enough to be in another's way; never raises."""
    attempt("logging a callback", _log, recorder, start_ns, end_ns, timeline, callback)


def _log(
    recorder: Recorder, start_ns: int, end_ns: int, timeline: Timeline | None, callback: Any
) -> None:
    opened, recorder.opened = recorder.opened, None
    if opened is not None:
        recorder.occupy(start_ns, end_ns, opened, recorder.name(READING))
    elif timeline is not None:
        recorder.occupy(start_ns, end_ns, timeline)
    elif getattr(callback, "__name__", "") != _SELF_PIPE:
        recorder.occupy(start_ns, end_ns, None, name_of_callback(recorder, callback))


def name_of_callback(recorder: Recorder, callback: Any) -> int:
    """Return the name of a callback that belongs to no request."""
    coroutine = getattr(getattr(callback, "__self__", None), "get_coro", None)
    ran = callback if coroutine is None else coroutine()
    code = getattr(ran, "__code__" if coroutine is None else "cr_code", None)
    name = getattr(ran, "__qualname__", None) or type(ran).__qualname__
    known = recorder.callbacks.get((id(code), name))
    if known is None:
        known = recorder.name(describe(callback) if coroutine is None else _of_task(ran, name))
        if code is not None and len(recorder.callbacks) < _MOST_CALLBACKS:
            recorder.callbacks[id(code), name] = known
            recorder.kept.append(code)
    return known


def _of_task(coroutine: Any, name: str) -> str:
    frame = getattr(coroutine, "cr_frame", None)
    return f"{frame.f_globals.get('__name__')}.{name}" if frame else name


def _create_task(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    def create_task(coro: Any, **kwargs: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None or is_followed(coro):
            return original(coro, **kwargs)
        if getattr(coro, "cr_code", None) in recorder.untracked:
            context = kwargs.pop("context", None) or contextvars.copy_context()
            context.run(CURRENT.set, None)
            return original(coro, context=context, **kwargs)
        return follow_task(timeline, coro, original, **kwargs)

    return create_task


def _call_soon(original: Callable[..., Any]) -> Callable[..., Any]:
    if native is not None:
        return functools.update_wrapper(native.soon(original, CURRENT), original)

    def call_soon(callback: Any, *args: Any, context: Any = None) -> Any:
        if context is not None:
            timeline = context.get(CURRENT)
            if timeline is not None:
                task = getattr(callback, "__self__", None)
                if task is not None:
                    mark(timeline, READY, id(task))
        return original(callback, *args, context=context)

    return call_soon


def _call_soon_threadsafe(original: Callable[..., Any]) -> Callable[..., Any]:
    def bridged(callback: Any, *args: Any, context: Any = None) -> Any:
        timeline = CURRENT.get()
        if timeline is None or getattr(callback, "__name__", "") != "create_task":
            return original(callback, *args, context=context)
        mark(timeline, CALL_SUBMIT, 0)
        try:
            return original(callback, *args, context=context)
        finally:
            mark(timeline, CALL_SUBMITTED, 0)

    if native is not None:
        return functools.update_wrapper(native.poked(original, CURRENT, bridged), original)

    def call_soon_threadsafe(callback: Any, *args: Any, context: Any = None) -> Any:
        hop = notifying.pop(ident(), None)
        if hop is None:
            return bridged(callback, *args, context=context)
        try:
            return original(callback, *args, context=context or _context_of(hop[0]))
        finally:
            mark(hop[0], NOTIFIED, hop[1])

    return call_soon_threadsafe


def _context_of(timeline: Timeline) -> contextvars.Context:
    """Return what the handle would copy by itself, and whose hand-off it is."""
    context = contextvars.copy_context()
    context.run(CURRENT.set, timeline)
    return context


def _mark_timer(callback: Any, args: tuple[Any, ...], since_ns: int, seconds: float) -> None:
    """Mark a timer that is due `seconds` after an instant; one of infinity is never due."""
    timeline = CURRENT.get()
    if timeline is not None:
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


def _with_logged(logged: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    def schedule(callback: Any, *args: Any, context: Any = None) -> Any:
        return original(logged, callback, *args, context=context)

    return schedule


def _with_logged_timer(logged: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    def schedule(when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return original(when, logged, callback, *args, context=context)

    return schedule
