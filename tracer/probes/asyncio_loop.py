"""asyncio's own event loop: what it runs, when a task became ready, when a timer was due."""

from __future__ import annotations

import functools
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any

from tracer import loops
from tracer.accelerator import native
from tracer.clock import now
from tracer.recorder import CURRENT, LONG_NS, OCCUPANCY_FLOOR_NS
from tracer.scopes import disarm
from tracer.seams import Probe, Seam

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tracer.recorder import Recorder


def _handle_run(recorder: Recorder, original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Log what every callback of the loop took; `BaseEventLoop._run_once` calls this."""
    floor, long = OCCUPANCY_FLOOR_NS, LONG_NS
    if native is not None:
        slow = functools.partial(loops.log, recorder)
        turn = native.turn(original, CURRENT, recorder, slow, floor, long)
        return functools.update_wrapper(turn, original)

    @functools.wraps(original)
    def run(self: Any) -> None:
        callback = self._callback
        start = now()
        original(self)
        end = now()
        if end - start > floor:
            try:
                timeline = self._context.get(CURRENT)
                if timeline is None or timeline.last_ns or recorder.opened or end - start > long:
                    loops.log(recorder, start, end, timeline, callback)
                else:
                    recorder.log((start, end, ident(), timeline.sequence, timeline.view))
            except Exception:  # noqa: BLE001 - the loop itself would end
                disarm(None, "logging a callback")

    return run


def _watch_loops(recorder: Recorder) -> Callable[[], None]:
    def watch(loop: asyncio.AbstractEventLoop) -> None:
        if type(loop).__module__.partition(".")[0] == "uvloop":
            return
        loops.watch(recorder, loop)
        loops.watch_call_at(loop)

    recorder.loop_hooks.append(watch)
    return functools.partial(recorder.loop_hooks.remove, watch)


PROBE = Probe(
    name="asyncio",
    prepare=_watch_loops,
    instance_seams=tuple(f"asyncio:loop.{name}" for name in (*loops.INSTANCE_SEAMS, "call_at")),
    seams=(Seam("asyncio.events:Handle._run", _handle_run, shapes=("self",)),),
)
