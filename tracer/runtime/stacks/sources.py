"""How the events of a capture are come by: a profile function a thread, or `sys.monitoring`."""

from __future__ import annotations

import functools
import sys
import threading
import time
import types
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final, Protocol

from tracer.model.current import CURRENT
from tracer.model.stackframes import EXACT, SAMPLED
from tracer.runtime.stacks.capture import C_CALL, C_RETURN, CALL, RETURN, Capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_TOOLS: Final = (4, 3, 2, 1)
_CALLS: Final = 100
_TRIES: Final = 5
_PYTHON_CALLABLES: Final = (types.FunctionType, types.MethodType)


_ours: set[int] = set()
"""Threads whose profile function is ours, also that of a request that is over."""


class ProfilerTakenError(Exception):
    """Somebody else profiles here, or what is needed isn't there; `by_us` for a moment only."""

    def __init__(self, message: str, *, by_us: bool = False) -> None:
        """Say why."""
        super().__init__(message)
        self.by_us = by_us


class Source(Protocol):
    """Gives a capture its events from `start` to `stop`."""

    def start(self) -> None:
        """Begin on the calling thread, and whatever thread is reached by itself."""

    def stop(self) -> None:
        """End on the calling thread; others end at their next event."""

    def enter(self, function: Callable[[], Any]) -> Any:
        """Call what a hand-off runs on this thread."""


class Profiled:
    """By a profile function on each thread the request enters: one of ours, or pyinstrument's."""

    def __init__(self, capture: Capture) -> None:
        """Prepare; raise `ProfilerTakenError` where there is no sampler."""
        self._capture = capture
        self._take = capture.exact
        self._set: Callable[[Callable[..., Any]], None] = sys.setprofile
        self._threads: set[int] = set()
        if capture.source == SAMPLED:
            self._take = capture.sample
            self._set = _sampler(capture)

    def start(self) -> None:
        """Begin here and on new threads; raise `ProfilerTakenError` where another profiler is."""
        for_new = threading.getprofile()
        if sys.getprofile() is not None or for_new is not None:
            by_us = ident() in _ours or isinstance(getattr(for_new, "__self__", None), Profiled)
            raise ProfilerTakenError("another profiler is at work", by_us=by_us)
        threading.setprofile(self._first_event)
        self._install()

    def stop(self) -> None:
        """End here and on new threads."""
        if threading.getprofile() == self._first_event:
            threading.setprofile(None)
        if ident() in self._threads:
            self._remove()

    def enter(self, function: Callable[[], Any]) -> Any:
        """Profile this thread while it runs what was handed to it."""
        if self._capture.closed or ident() in self._threads or sys.getprofile() is not None:
            return function()
        self._install()
        try:
            return function()
        finally:
            self._remove()

    def _install(self) -> None:
        try:
            self._set(self._event)
        except Exception:  # noqa: BLE001 - a request never fails because of us
            self._capture.closed = self._capture.truncated = True
            return
        self._threads.add(ident())
        _ours.add(ident())
        self._capture.begin_thread()

    def _remove(self) -> None:
        sys.setprofile(None)
        self._threads.discard(ident())
        _ours.discard(ident())

    def _first_event(self, _frame: FrameType, _event: str, _arg: object) -> None:
        """A thread has been started: its profile function is this one."""
        sys.setprofile(None)
        if not self._capture.closed:
            self._install()

    def _event(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self._capture.closed:
            running = sys.getprofile()  # it is at work: it mustn't go before it returns
            self._remove()
            return running
        try:
            self._take(frame, event, arg)
        except Exception:  # noqa: BLE001 - a request never fails because of us
            self._capture.closed = self._capture.truncated = True
        return None


class Monitored:
    """By `sys.monitoring` (CPython 3.12), on all threads at once."""

    def __init__(self, capture: Capture) -> None:
        """Prepare."""
        self._capture = capture
        self._tool: int | None = None

    def start(self) -> None:
        """Take a tool's place; raise `ProfilerTakenError` where all are taken."""
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        free = [tool for tool in _TOOLS if monitoring.get_tool(tool) is None]
        if not free:
            raise ProfilerTakenError("all of sys.monitoring's tools are in use")
        tool = self._tool = free[0]
        monitoring.use_tool_id(tool, "tracer")
        names = monitoring.events
        kinds = {
            CALL: (names.PY_START, names.PY_RESUME, names.PY_THROW),
            RETURN: (names.PY_RETURN, names.PY_YIELD, names.PY_UNWIND),
            C_CALL: (names.CALL,),
            C_RETURN: (names.C_RETURN, names.C_RAISE),
        }
        every = 0
        for kind, events in kinds.items():
            take = self._called if kind == C_CALL else functools.partial(self._event, kind)
            for event in events:
                monitoring.register_callback(tool, event, take)
                if kind != C_RETURN:  # these come with the calls
                    every |= event
        self._capture.begin_thread()
        monitoring.set_events(tool, every)

    def stop(self) -> None:
        """Give the tool's place back."""
        tool, self._tool = self._tool, None
        if tool is not None:
            monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)

    def enter(self, function: Callable[[], Any]) -> Any:
        """Call it: all threads are watched."""
        return function()

    def _called(self, _code: object, _offset: int, function: Any, *_rest: object) -> None:
        if not isinstance(function, _PYTHON_CALLABLES):
            self._take(C_CALL, sys._getframe(1), function)  # noqa: SLF001

    def _event(self, kind: str, *_seen: object) -> None:
        self._take(kind, sys._getframe(1), None)  # noqa: SLF001

    def _take(self, kind: str, frame: FrameType, arg: object) -> None:
        if self._capture.closed:
            self.stop()
            return
        try:
            self._capture.exact(frame, kind, arg)
        except Exception:  # noqa: BLE001 - a request never fails because of us
            self._capture.closed = self._capture.truncated = True


def source_of(capture: Capture) -> Source:
    """Return where a capture's events come from in this interpreter."""
    if capture.source == EXACT and hasattr(sys, "monitoring"):
        return Monitored(capture)
    return Profiled(capture)


def has_sampler() -> bool:
    """Say whether pyinstrument's sampler can be imported."""
    try:
        _sampler(None)
    except ProfilerTakenError:
        return False
    return True


@functools.cache
def call_cost_ns(kind: type[Source]) -> int:
    """Return what one event costs the interpreter, measured once by calling nothing at all."""
    capture = Capture(CURRENT.get(), EXACT, 0)
    plain = _time_calls()
    source = kind(capture)  # type: ignore[call-arg]
    try:
        source.start()
    except ProfilerTakenError:
        return 0
    try:
        profiled = _time_calls()
    finally:
        source.stop()
    return max(profiled - plain, 0) * _TRIES // max(capture.events, 1)


def _time_calls() -> int:
    """Return what so many calls take when nothing gets in between: the least of some tries."""
    found = []
    for _ in range(_TRIES):
        start = time.perf_counter_ns()
        for _ in range(_CALLS):
            _nothing()
        found.append(time.perf_counter_ns() - start)
    return min(found)


def _nothing() -> None:
    pass


def _sampler(capture: Capture | None) -> Callable[[Callable[..., Any]], None]:
    try:
        from pyinstrument.low_level.stat_profile import setstatprofile  # noqa: PLC0415
    except ImportError as error:
        raise ProfilerTakenError("pyinstrument is not installed") from error
    interval_s = capture.interval_ns / 1e9 if capture is not None else 0.0
    return functools.partial(_set_sampler, setstatprofile, interval_s)


def _set_sampler(setstatprofile: Any, interval_s: float, target: Callable[..., Any]) -> None:
    # Without its context variable: in asgiref's threads that one leaks from one to the other.
    setstatprofile(target, interval_s)
