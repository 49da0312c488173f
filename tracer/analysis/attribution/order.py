"""Marks in order of time, and what the marks say that carry no instant of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tracer.model import timeline as t

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.model.marks import Mark


class Ordered(NamedTuple):
    """A timeline's marks by time.

    `run_on`: by hop, when its thread had become free, and the thread's OS id.
    `timers`: by TIMER mark, when it was due.
    """

    marks: list[Mark]
    run_on: dict[int, tuple[int, int]]
    timers: dict[Mark, int]


def in_order(marks: Iterable[Mark]) -> Ordered:
    """Sort marks; RUN_ON and TIMER_DUE belong to the mark their thread made just before."""
    ordered = Ordered([], {}, {})
    last_run: dict[int, int] = {}
    last_timer: dict[int, Mark] = {}
    for mark in marks:
        code, instant, thread, value = mark
        if code == t.RUN_ON:
            ordered.run_on[last_run.get(thread, -1)] = (instant, value)
            continue
        if code == t.TIMER_DUE:
            timer = last_timer.get(thread)
            if timer is not None and timer[3] == value:
                ordered.timers[timer] = instant
            continue
        if code == t.RUN:
            last_run[thread] = value
        elif code == t.TIMER:
            last_timer[thread] = mark
        ordered.marks.append(mark)
    ordered.marks.sort(key=lambda mark: mark[1])
    return ordered
