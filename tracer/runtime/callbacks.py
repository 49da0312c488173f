"""What an event loop ran, and how long it took: who may have been in another's way."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.runtime.call_sites import describe
from tracer.runtime.loops import mark_ready
from tracer.runtime.recorder import LONG_NS, OCCUPANCY_FLOOR_NS
from tracer.runtime.scopes import attempt, finish_wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder
    from tracer.runtime.tasks import PureWaiting

READING: Final = "reading a request"
_SELF_PIPE: Final = "_read_from_self"
"""How asyncio's loop notices that another thread has woken it: its own turn."""
_MOST_CALLBACKS: Final = 10_000
_PLUMBING: Final = (vars(asyncio.futures), vars(asyncio.tasks))
"""Where the functions are from with which asyncio passes results from one future to the next: three
of four callbacks of a hand-off, and too short to be in anybody's way."""


def timed(
    recorder: Recorder, original: Callable[..., Any], place: int, waiting: PureWaiting | None = None
) -> Callable[..., Any]:
    """Wrap a method of a loop whose handles can't be wrapped (uvloop).

    The callback that is given at `place`, the loop itself being at 0, is timed when it runs, unless
    it is asyncio's own plumbing. While one of those counted by `waiting` waits, it is marked when
    it was given.
    """
    if native is not None:
        slow = functools.partial(log, recorder)
        known = (CURRENT, recorder, recorder.busy, slow, OCCUPANCY_FLOOR_NS, LONG_NS)
        given = ((native.timed_callback(log, *known), *_PLUMBING), place, CURRENT, waiting)
        return finish_wrapper(native.schedule(original, *given), original)

    def logged(callback: Any, *args: Any) -> None:
        start = now()
        try:
            callback(*args)
        finally:
            end = now()
            if end - start > OCCUPANCY_FLOOR_NS:
                log(recorder, start, end, CURRENT.get(), callback)

    @functools.wraps(original)
    def schedule(*args: Any, context: Any = None) -> Any:
        if waiting is not None and waiting.count:
            mark_ready(args[place], context)
        within = getattr(args[place], "__globals__", None)
        if any(within is module for module in _PLUMBING):
            return original(*args, context=context)
        return original(*args[:place], logged, *args[place:], context=context)

    return schedule


def log(
    recorder: Recorder, start_ns: int, end_ns: int, timeline: Timeline | None, callback: Any
) -> None:
    """Note a callback that took long enough to be in another's way; never raises."""
    attempt("logging a callback", _log, recorder, start_ns, end_ns, timeline, callback)


def _log(
    recorder: Recorder, start_ns: int, end_ns: int, timeline: Timeline | None, callback: Any
) -> None:
    opened, recorder.busy.opened = recorder.busy.opened, None
    if opened is not None:
        recorder.occupy(start_ns, end_ns, opened, recorder.busy.reading)
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
