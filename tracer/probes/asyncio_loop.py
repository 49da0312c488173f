"""asyncio's own event loop: what it runs, when a task became ready, when a timer was due."""

from __future__ import annotations

import asyncio
import functools
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.runtime import callbacks, loops
from tracer.runtime.recorder import LONG_NS, OCCUPANCY_FLOOR_NS
from tracer.runtime.scopes import disarm, finish_wrapper
from tracer.runtime.seams import Probe, Seam

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder


def _handle_run(recorder: Recorder, original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Log what every callback of the loop took; `BaseEventLoop._run_once` calls this."""
    floor, long = OCCUPANCY_FLOOR_NS, LONG_NS
    if native is not None:
        slow = functools.partial(callbacks.log, recorder)
        known = (CURRENT, recorder, recorder.busy, slow, floor, long)
        handles = (asyncio.Handle,) if _runs_only(original) else ()
        turn = native.run_handle(original, *known, *handles)
        return finish_wrapper(turn, original)

    @functools.wraps(original)
    def run(self: Any) -> None:
        callback = self._callback
        start = now()
        original(self)
        end = now()
        if end - start > floor:
            try:
                timeline = self._context.get(CURRENT)
                if (
                    timeline is None
                    or timeline.last_ns
                    or recorder.busy.opened
                    or end - start > long
                ):
                    callbacks.log(recorder, start, end, timeline, callback)
                else:
                    recorder.log((start, end, ident(), timeline.sequence, timeline.view))
            except Exception:  # noqa: BLE001 - the loop itself would end
                disarm(None, "logging a callback")

    return run


def _runs_only(run: Any) -> bool:
    """Say whether a handle's `_run` is asyncio's: then C may enter its context and call by itself.

    Read in CPython 3.11 to 3.14: `self._context.run(self._callback, *self._args)`, and all else
    is for a callback that fails.
    """
    code = getattr(run, "__code__", None)
    ours = getattr(run, "__module__", None) == asyncio.events.__name__
    return ours and getattr(code, "co_names", ())[:4] == _RUN_NAMES


def _watch_loops(recorder: Recorder) -> Callable[[], None]:
    def watch(loop: asyncio.AbstractEventLoop) -> None:
        if not loops.is_uvloop(loop):
            loops.watch(recorder, loop)

    recorder.loop_hooks.append(watch)
    return functools.partial(recorder.loop_hooks.remove, watch)


_RUN_NAMES: Final = ("_context", "run", "_callback", "_args")
_LOOP: Final = "asyncio.base_events:BaseEventLoop"
PROBE = Probe(
    name="asyncio",
    prepare=_watch_loops,
    instance_seams=("asyncio:loop.call_soon",),
    seams=(
        Seam("asyncio.events:Handle._run", _handle_run, shapes=("self",)),
        Seam(
            f"{_LOOP}.create_task",
            loops.create_task,
            shapes=("self, coro, name, context", "self, coro, **kwargs"),
        ),
        Seam(
            f"{_LOOP}.call_soon_threadsafe",
            loops.call_soon_threadsafe,
            shapes=("self, callback, *args, context",),
        ),
        Seam(f"{_LOOP}.call_at", loops.call_at, shapes=("self, when, callback, *args, context",)),
    ),
)
