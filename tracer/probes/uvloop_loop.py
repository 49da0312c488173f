"""uvloop: its handles are immutable, so what it runs is timed in the callbacks themselves.

Protocol callbacks (a socket became readable) don't pass through `call_soon`: they
stay unnamed unless the server's probe names them. Read in uvloop 0.17 to 0.23: its own calls of
these go past its class, but for those in `call_at` and in what is written in Python.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from tracer.runtime import callbacks, loops
from tracer.runtime.loop_state import WATCHED
from tracer.runtime.seams import Probe, Seam
from tracer.runtime.tasks import WAITING, Waiting

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder
    from tracer.runtime.tasks import PureWaiting


@functools.lru_cache(maxsize=1)
def _waiting(_recorder: Recorder) -> PureWaiting:
    """Return what counts the tasks that wait on any of the process's loops: mostly it has one."""
    return Waiting()


def _call_soon(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    return callbacks.timed(recorder, original, 1, _waiting(recorder))


def _call_soon_threadsafe(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    return loops.call_soon_threadsafe(recorder, callbacks.timed(recorder, original, 1))


def _call_later(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    return loops.call_later(recorder, callbacks.timed(recorder, original, 2))


def _watch_loops(recorder: Recorder) -> Callable[[], None]:
    def watch(loop: asyncio.AbstractEventLoop) -> None:
        if loops.is_uvloop(loop):
            getattr(loop, WATCHED)[WAITING] = _waiting(recorder)

    recorder.loop_hooks.append(watch)
    return functools.partial(recorder.loop_hooks.remove, watch)


_LOOP: Final = "uvloop:Loop"
PROBE = Probe(
    name="uvloop",
    prepare=_watch_loops,
    seams=(
        Seam(f"{_LOOP}.create_task", loops.create_task),
        Seam(f"{_LOOP}.call_soon", _call_soon),
        Seam(f"{_LOOP}.call_soon_threadsafe", _call_soon_threadsafe),
        Seam(f"{_LOOP}.call_later", _call_later),
    ),
)
