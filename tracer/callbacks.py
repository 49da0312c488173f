"""What an event loop ran, and how long it took: who may have been in another's way."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from tracer.accelerator import native
from tracer.clock import now
from tracer.loops import stand_in
from tracer.recorder import CURRENT, LONG_NS, OCCUPANCY_FLOOR_NS
from tracer.scopes import attempt
from tracer.sites import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.recorder import Recorder
    from tracer.timeline import Timeline

READING: Final = "reading a request"
_SELF_PIPE: Final = "_read_from_self"
"""How asyncio's loop notices that another thread has woken it: its own turn."""
_MOST_CALLBACKS: Final = 10_000


def log_callbacks(recorder: Recorder, loop: Any) -> None:
    """Time every callback of a loop whose handles can't be stood in for (uvloop).

    To be called before `watch`, whose stand-ins must see the callbacks themselves.
    """
    if native is not None:
        slow = functools.partial(log, recorder)
        known = (CURRENT, recorder, recorder.busy, slow, OCCUPANCY_FLOOR_NS, LONG_NS)
        timed = native.timed(log_callbacks, *known)
        for method, place in (("call_soon", 1), ("call_soon_threadsafe", 1), ("call_later", 2)):
            stand_in(loop, method, functools.partial(_scheduled, timed, place))
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
        stand_in(loop, method, functools.partial(_with_logged, logged))
    stand_in(loop, "call_later", functools.partial(_with_logged_timer, logged))


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


def _scheduled(timed: Any, place: int, original: Callable[..., Any]) -> Any:
    return native.scheduled(original, timed, place) if native is not None else original


def _with_logged(logged: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    def schedule(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        return original(self, logged, callback, *args, context=context)

    return schedule


def _with_logged_timer(logged: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    def schedule(self: Any, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return original(self, when, logged, callback, *args, context=context)

    return schedule
