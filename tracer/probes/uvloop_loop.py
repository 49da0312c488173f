"""uvloop: its handles are immutable, so what it runs is timed in the callbacks themselves.

Protocol callbacks (a socket became readable) don't pass through `call_soon`: they
stay unnamed unless the server's probe names them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tracer import loops
from tracer.seams import Probe

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tracer.recorder import Recorder


def _watch_loops(recorder: Recorder) -> Callable[[], None]:
    def watch(loop: asyncio.AbstractEventLoop) -> None:
        if type(loop).__module__.partition(".")[0] != "uvloop":
            return
        loops.log_callbacks(recorder, loop)
        loops.watch(recorder, loop)
        loops.watch_call_later(loop)

    recorder.loop_hooks.append(watch)
    return functools.partial(recorder.loop_hooks.remove, watch)


PROBE = Probe(
    name="uvloop",
    prepare=_watch_loops,
    instance_seams=tuple(f"uvloop:Loop.{name}" for name in (*loops.INSTANCE_SEAMS, "call_later")),
)
