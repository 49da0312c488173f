"""asgiref: hand-offs from the loop to a thread and from a thread to a loop.

Read in asgiref 3.6 to 3.13, `asgiref/sync.py`.
"""

from __future__ import annotations

import functools
from threading import get_ident as ident
from threading import get_native_id as native_id
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import (
    BEGUN,
    BRIDGE,
    CALL,
    CALL_END,
    HOP,
    HOP_END,
    OS_THREAD,
    RAN,
    RUN,
    RUN_ON,
    SUBMIT,
    SUBMITTED,
    Timeline,
)
from tracer.runtime import loops
from tracer.runtime.call_sites import Sites
from tracer.runtime.loop_state import WATCHED
from tracer.runtime.recorder import LONG_NS
from tracer.runtime.scopes import disarm, finish_wrapper, mark, mark_at, mark_coroutine_function
from tracer.runtime.seams import Probe, Seam
from tracer.runtime.tasks import begin_track, followed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Executor

    from tracer.runtime.recorder import Recorder

_HANDLER: Final = "thread_handler"
_beginning: dict[int, tuple[Timeline, int, int]] = {}
"""By thread: what to mark once asgiref has restored the context and calls the function.

A release that restores none in the thread leaves it there, and the hand-off's run
begins where the thread took it up.
"""

_last_ran: dict[int, int] = {}
"""By thread: when it finished what it last ran for an executor."""


def _sync_to_async(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    sites = Sites(recorder)
    asked = sites.asked(original, CURRENT, functools.partial(_site, sites))
    if asked is not None:
        return mark_coroutine_function(finish_wrapper(asked, original))

    @functools.wraps(original)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, *args, **kwargs)
        site = _site(sites, self.func)
        return _hop(functools.partial(original, self, *args, **kwargs), timeline, site)

    return mark_coroutine_function(__call__)


def _site(sites: Sites, function: Any) -> int:
    """Name a hand-off that is asked for right now."""
    try:
        return sites.of(function)
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(None, "naming a hand-off")
        return 0


async def _hop(call: Callable[[], Any], timeline: Timeline, site: int) -> Any:
    mark(timeline, HOP, site)
    try:
        return await call()
    finally:
        timeline.handing = 0
        mark(timeline, HOP_END, 0)


def _run_in_executor(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """See both sides of a hop where asgiref, of any release and subclass, crosses over."""
    if native is not None:
        handoff = (native.run_handoff, recorder, recorder.busy, LONG_NS)
        executed = native.run_in_executor(original, CURRENT, (functools.partial, WATCHED, *handoff))
        return finish_wrapper(executed, original)

    @functools.wraps(original)
    def run_in_executor(self: Any, executor: Executor | None, func: Any, *args: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None or not _is_hop(func) or not hasattr(self, WATCHED):
            return original(self, executor, func, *args)
        hop = timeline.next_id()
        timeline.handing = ident()
        mark(timeline, SUBMIT, hop)
        try:
            return original(self, executor, _run, recorder, timeline, hop, func)
        finally:
            mark(timeline, SUBMITTED, hop)

    return run_in_executor


def _is_hop(func: Any) -> bool:
    return isinstance(func, functools.partial) and getattr(func.func, "__name__", None) == _HANDLER


def _run(recorder: Recorder, timeline: Timeline, hop: int, func: Callable[[], Any]) -> Any:
    here = ident()
    start = now()
    loops.notifying.pop(here, None)
    _beginning[here] = (timeline, RUN, hop)
    try:
        return func() if timeline.entered is None else timeline.entered(func)
    finally:
        end = now()
        if _beginning.pop(here, None) is not None:
            _mark_run(timeline, hop, start)
        mark_at(timeline, (RAN, end, here, hop))
        try:
            if timeline.last_ns or end - start > LONG_NS:
                recorder.occupy(start, end, timeline)
            else:
                recorder.log((start, end, here, timeline.sequence, timeline.view))
        except Exception:  # noqa: BLE001 - a request never fails because of us
            disarm(None, "logging a hand-off")
        loops.notifying[here] = (timeline, hop)


def _mark_run(timeline: Timeline, hop: int, instant: int) -> None:
    here = ident()
    mark_at(timeline, (RUN, instant, here, hop))
    mark_at(timeline, (RUN_ON, _last_ran.get(here, 0), here, native_id()))


def _restore_context(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Asgiref's last act before it calls what was handed over, in thread and loop alike."""
    if native is not None:
        return finish_wrapper(native.restore_context(original), original)

    @functools.wraps(original)
    def restore_context(context: Any) -> None:
        original(context)
        begun = _beginning.pop(ident(), None)
        if begun is not None:
            timeline, code, number = begun
            if code == RUN:
                _mark_run(timeline, number, now())
            else:
                mark(timeline, code, number)

    return restore_context


def _work_item(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Know when a pool's thread became free: the end of `queue`, the begin of `wake`."""
    if native is not None:
        return finish_wrapper(native.run_work_item(original), original)

    @functools.wraps(original)
    def run(self: Any, *args: Any) -> Any:
        try:
            return original(self, *args)
        finally:
            _last_ran[ident()] = now()

    return run


def _async_to_sync(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    sites = Sites(recorder)

    @functools.wraps(original)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, *args, **kwargs)
        site = _site(sites, self.awaitable)
        mark(timeline, CALL, site)
        try:
            return original(self, *args, **kwargs)
        finally:
            mark(timeline, CALL_END, 0)

    return __call__


def _main_wrap(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Follow the coroutine that a thread inside `async_to_sync` waits for."""

    @functools.wraps(original)
    def main_wrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        timeline = CURRENT.get()
        coroutine = original(self, *args, **kwargs)
        if timeline is None:
            return coroutine
        track = timeline.next_id()
        mark(timeline, BRIDGE, track)
        return followed(coroutine, timeline, track, functools.partial(_begin_bridge, track))

    return mark_coroutine_function(main_wrap)


def _begin_bridge(track: int, timeline: Timeline) -> Any:
    """Mark the first step of a coroutine that a thread waits for."""
    if native is None:
        _beginning[ident()] = (timeline, BEGUN, track)
    else:
        native.begin_bridge(timeline, BEGUN, track)
    mark(timeline, OS_THREAD, native_id())
    return begin_track(timeline)


def _watch_loops(recorder: Recorder) -> Callable[[], None]:
    """A loop of a kind that has no seam gets it on its instance."""

    def watch(loop: asyncio.AbstractEventLoop) -> None:
        if not loops.is_known(loop):
            make = functools.partial(_run_in_executor, recorder)
            loops.make_wrapper(loop, "run_in_executor", make)

    recorder.loop_hooks.append(watch)
    return functools.partial(recorder.loop_hooks.remove, watch)


PROBE = Probe(
    name="asgiref",
    prepare=_watch_loops,
    seams=(
        Seam(
            "asyncio.base_events:BaseEventLoop.run_in_executor",
            _run_in_executor,
            shapes=("self, executor, func, *args",),
        ),
        Seam("uvloop:Loop.run_in_executor", _run_in_executor),
        Seam(
            "asgiref.sync:SyncToAsync.__call__", _sync_to_async, shapes=("self, *args, **kwargs",)
        ),
        Seam(
            "asgiref.sync:AsyncToSync.__call__", _async_to_sync, shapes=("self, *args, **kwargs",)
        ),
        Seam("asgiref.sync:AsyncToSync.main_wrap", _main_wrap),
        Seam(
            "asgiref.sync:_restore_context",
            _restore_context,
            shapes=("context",),
            optional=True,
        ),
        Seam("asgiref.current_thread_executor:_WorkItem.run", _work_item, shapes=("self",)),
        Seam("concurrent.futures.thread:_WorkItem.run", _work_item, shapes=("self", "self, ctx")),
    ),
)
