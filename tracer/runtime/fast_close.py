"""The end of a request in C: what it needs to know, and when it may do without Python."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from tracer.model import frames
from tracer.model.native import native
from tracer.runtime.sampling import EVERY, SAMPLED, SEEN

if TYPE_CHECKING:
    from tracer.runtime.recorder import Recorder


def ending_of(recorder: Recorder) -> Any:
    """Return what closes timelines while all is as usual, and else has `recorder.close` do it."""
    known = (recorder.close, recorder.busy, recorder.sampler.counts, SEEN, SAMPLED, EVERY)
    kinds = (frames.TIMELINE, frames.OCCUPANCY)
    return native.Ending(*known, functools.partial, *kinds)  # type: ignore[union-attr]


def arm(recorder: Recorder) -> None:
    """Have timelines go to the sink's ring at once, where nothing has to be told before."""
    settled = getattr(recorder.sink, "settled", None)
    more = recorder.arming is not None or recorder.record_paths or not recorder.sampler.every
    told = recorder.described == len(recorder.problems)
    if settled is not None and recorder.reached and told and not more:
        ring, heed = settled()
        if ring is not None:
            usual = (recorder.threads.seen, recorder.names.new, recorder.problems)
            recorder.ending.arm(ring, os.getpid(), *usual, heed)
