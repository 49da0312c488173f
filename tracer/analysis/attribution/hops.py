"""The anatomy of a hand-off: which phase lasted how long, and who owned it.

A hop that starts its thread has usually run to its end before `submit` returns, so
phases are cut in the order in which they count: `run` owns its interval, what is
left until `submit` returns is `submit`, and only then the others begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracer.model.layers import HOP_PHASES

if TYPE_CHECKING:
    from tracer.analysis.attribution.track import Bridge
    from tracer.model.layers import HopPhase, State

_WAITING: Final = frozenset({"queue", "wake", "return"})


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of a hand-off in one phase."""

    start_ns: int
    end_ns: int
    phase: HopPhase

    @property
    def state(self) -> State:
        """`wait` where nothing of the request ran."""
        return "wait" if self.phase in _WAITING else "run"


def cut(bridge: Bridge) -> list[Cut]:
    """Return the phases of a hand-off in order of time; they tile it."""
    cuts = _cut_to_loop(bridge) if bridge.to_loop else _cut_to_thread(bridge)
    return [one for one in cuts if one.end_ns > one.start_ns]


def phases(bridge: Bridge, cuts: list[Cut]) -> dict[str, int | None]:
    """Return the gross duration of each phase, None for one that couldn't be observed."""
    sums: dict[str, int | None] = dict.fromkeys(HOP_PHASES, 0)
    for unobserved in _unobserved(bridge):
        sums[unobserved] = None
    for one in cuts:
        sums[one.phase] = (sums[one.phase] or 0) + one.end_ns - one.start_ns
    return sums


def _unobserved(bridge: Bridge) -> list[HopPhase]:
    missing: list[HopPhase] = []
    if bridge.submit_ns is None or bridge.submitted_ns is None:
        missing.append("submit")
    if bridge.to_loop:
        return [*missing, "queue", "notify", "resume"]
    if bridge.notified_ns is None:
        missing.append("notify")
    if bridge.run is None:
        missing += ["queue", "wake", "run"]
    return missing


def _cut_to_thread(bridge: Bridge) -> list[Cut]:
    start, end = bridge.start_ns, bridge.end_ns
    submit = _within(bridge.submit_ns, start, end, end)
    submitted = _within(bridge.submitted_ns, submit, end, submit)
    cuts = [Cut(start, submit, "prepare")]
    track = bridge.run
    if track is None or track.start_ns is None or track.start_ns >= end:
        return [*cuts, Cut(submit, submitted, "submit"), Cut(submitted, end, "queue")]
    run = max(track.start_ns, submit)
    ran = _within(track.end_ns, run, end, end)
    if run < submitted:
        cuts += [Cut(submit, run, "submit"), Cut(run, ran, "run"), Cut(ran, submitted, "submit")]
    else:
        free = _within(bridge.free_ns, submitted, run, submitted)
        cuts += [
            Cut(submit, submitted, "submit"),
            Cut(submitted, free, "queue"),
            Cut(free, run, "wake"),
            Cut(run, ran, "run"),
        ]
    cursor = max(ran, submitted)
    resumed = max((step for step in bridge.steps if cursor <= step <= end), default=cursor)
    notified = _within(bridge.notified_ns, cursor, resumed, cursor)
    return [
        *cuts,
        Cut(cursor, notified, "notify"),
        Cut(notified, resumed, "return"),
        Cut(resumed, end, "resume"),
    ]


def _cut_to_loop(bridge: Bridge) -> list[Cut]:
    start, end = bridge.start_ns, bridge.end_ns
    run = _within(bridge.run.start_ns if bridge.run else None, start, end, end)
    ran = _within(bridge.run.end_ns if bridge.run else None, run, end, end)
    submit = _within(bridge.submit_ns, start, run, run)
    submitted = _within(bridge.submitted_ns, submit, run, submit)
    return [
        Cut(start, submit, "prepare"),
        Cut(submit, submitted, "submit"),
        Cut(submitted, run, "wake"),
        Cut(run, ran, "run"),
        Cut(ran, end, "return"),
    ]


def _within(instant: int | None, low: int, high: int, otherwise: int) -> int:
    """Return `instant` brought into `[low, high]`; `otherwise` where it is unknown."""
    return min(max(instant if instant is not None else otherwise, low), high)
