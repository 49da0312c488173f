"""Python's own part: garbage collection pauses and thread starts inside a request."""

from __future__ import annotations

import functools
import gc
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.timeline import PAUSE, PAUSE_END, THREAD
from tracer.runtime.scopes import mark, mark_at
from tracer.runtime.seams import Probe, Seam

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder

_SHORT_NS: Final = 5_000


def _watch_gc(_recorder: Recorder) -> Callable[[], None]:
    """Mark collections longer than 5 µs, once they are over.

    A collection runs in whichever thread allocated, and in none other: begin and
    end need no mark of their own while it lasts.
    """
    started: dict[int, int] = {}

    def collecting(phase: str, _info: dict[str, int]) -> None:
        timeline = CURRENT.get()
        if timeline is None:
            return
        here = ident()
        if phase == "start":
            started[here] = now()
            return
        start, end = started.pop(here, 0), now()
        if start and end - start > _SHORT_NS:
            mark_at(timeline, (PAUSE, start, here, 0))
            mark_at(timeline, (PAUSE_END, end, here, 0))

    gc.callbacks.append(collecting)
    return functools.partial(gc.callbacks.remove, collecting)


def _thread_start(_recorder: Recorder, original: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(original)
    def start(self: Any) -> None:
        timeline = CURRENT.get()
        if timeline is not None:
            mark(timeline, THREAD, 0)
        original(self)

    return start


PROBE = Probe(
    name="runtime",
    prepare=_watch_gc,
    instance_seams=("gc:callbacks",),
    seams=(Seam("threading:Thread.start", _thread_start, shapes=("self",)),),
)
