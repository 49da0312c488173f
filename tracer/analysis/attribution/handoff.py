"""The anatomy of a hand-off: which phase lasted how long, and who owned it.

A hand-off that starts its thread has usually run to its end before `submit` returns, so
phases are cut in the order in which they count: `run` owns its interval, what is
left until `submit` returns is `submit`, and only then the others begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.analysis.attribution.request import Segment
from tracer.model.layers import HOP_PHASES

if TYPE_CHECKING:
    from tracer.analysis.attribution.track import HandoffMarks, Track
    from tracer.model.layers import HopPhase

    Interval = tuple[int, int, HopPhase]

_WAITING: Final = frozenset({"queue", "wake", "return"})


def phase_segments(handoff: HandoffMarks, site: str) -> list[Segment]:
    """Return the phases of a hand-off in order of time; they tile it.

    Also `run`, which belongs to whatever ran in it. Where nothing of the request ran in a
    phase its state is `wait`, and no thread is named.
    """
    intervals = _phases_to_loop(handoff) if handoff.to_loop else _phases_to_thread(handoff)
    return [
        Segment(start, end, "handoff", site, None, phase, "wait")
        if phase in _WAITING
        else Segment(start, end, "handoff", site, None, phase, "run", _os_thread(handoff, phase))
        for start, end, phase in intervals
        if start < end
    ]


def phase_durations(handoff: HandoffMarks, segments: list[Segment]) -> dict[str, int | None]:
    """Return the gross duration of each phase, None for one that couldn't be observed."""
    sums: dict[str, int | None] = dict.fromkeys(HOP_PHASES, 0)
    for unobserved in _unobserved(handoff):
        sums[unobserved] = None
    for one in segments:
        if one.phase is not None:
            sums[one.phase] = (sums[one.phase] or 0) + one.duration_ns
    return sums


def loop_wait(handoff: HandoffMarks) -> tuple[str, Track | None]:
    """Return the phase that waits for the event loop, and the track that the loop then runs."""
    return ("wake", handoff.run) if handoff.to_loop else ("return", handoff.track)


def _os_thread(handoff: HandoffMarks, phase: HopPhase) -> int | None:
    runs = handoff.run if phase == "notify" and handoff.run is not None else handoff.track
    return runs.os_thread


def _unobserved(handoff: HandoffMarks) -> list[HopPhase]:
    missing: list[HopPhase] = []
    if handoff.submit_ns is None or handoff.submitted_ns is None:
        missing.append("submit")
    if handoff.to_loop:
        return [*missing, "queue", "notify", "resume"]
    if handoff.notified_ns is None:
        missing.append("notify")
    if handoff.run is None:
        missing += ["queue", "wake", "run"]
    return missing


def _phases_to_thread(handoff: HandoffMarks) -> list[Interval]:
    start, end = handoff.start_ns, handoff.end_ns
    submit = _within(handoff.submit_ns, start, end, end)
    submitted = _within(handoff.submitted_ns, submit, end, submit)
    track = handoff.run
    if track is None or track.start_ns is None or track.start_ns >= end:
        return [
            (start, submit, "prepare"),
            (submit, submitted, "submit"),
            (submitted, end, "queue"),
        ]
    run = max(track.start_ns, submit)
    ran = _within(track.end_ns, run, end, end)
    before: list[Interval]
    if run < submitted:
        before = [(submit, run, "submit"), (run, ran, "run"), (ran, submitted, "submit")]
    else:
        free = _within(handoff.free_ns, submitted, run, submitted)
        before = [
            (submit, submitted, "submit"),
            (submitted, free, "queue"),
            (free, run, "wake"),
            (run, ran, "run"),
        ]
    cursor = max(ran, submitted)
    resumed = max((step for step in handoff.steps if cursor <= step <= end), default=cursor)
    notified = _within(handoff.notified_ns, cursor, resumed, cursor)
    return [
        (start, submit, "prepare"),
        *before,
        (cursor, notified, "notify"),
        (notified, resumed, "return"),
        (resumed, end, "resume"),
    ]


def _phases_to_loop(handoff: HandoffMarks) -> list[Interval]:
    start, end = handoff.start_ns, handoff.end_ns
    run = _within(handoff.run.start_ns if handoff.run else None, start, end, end)
    ran = _within(handoff.run.end_ns if handoff.run else None, run, end, end)
    submit = _within(handoff.submit_ns, start, run, run)
    submitted = _within(handoff.submitted_ns, submit, run, submit)
    return [
        (start, submit, "prepare"),
        (submit, submitted, "submit"),
        (submitted, run, "wake"),
        (run, ran, "run"),
        (ran, end, "return"),
    ]


def _within(instant: int | None, low: int, high: int, otherwise: int) -> int:
    """Return `instant` brought into `[low, high]`; `otherwise` where it is unknown."""
    return min(max(instant if instant is not None else otherwise, low), high)
