"""uvloop: its handles are immutable, so what it runs is timed in the callbacks themselves.

Protocol callbacks (a socket became readable) don't pass through `call_soon`: they
stay unnamed unless the server's probe names them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from tracer import callbacks, loops
from tracer.seams import Probe

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tracer.recorder import Recorder


def _watch_loops(recorder: Recorder) -> Callable[[], None]:
    def watch(loop: asyncio.AbstractEventLoop) -> None:
        if type(loop).__module__.partition(".")[0] != "uvloop":
            return
        callbacks.log_callbacks(recorder, loop)
        loops.watch(recorder, loop)
        loops.stand_in(loop, "call_later", functools.partial(loops.call_later, recorder))

    recorder.loop_hooks.append(watch)
    return functools.partial(recorder.loop_hooks.remove, watch)


_INSTANCE_SEAMS: Final = ("create_task", "call_soon", "call_soon_threadsafe", "call_later")
PROBE = Probe(
    name="uvloop",
    prepare=_watch_loops,
    instance_seams=tuple(f"uvloop:Loop.{name}" for name in _INSTANCE_SEAMS),
)
