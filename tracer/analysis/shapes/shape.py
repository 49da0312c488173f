"""The shapes of many timelines at once: which marks came in which order, and when.

What doesn't decide who owns what is left out, so that requests which differ by no more
have one shape: garbage collections (given back apart), tasks made ready while they wait
for a hand-off, timers nobody waits for, and what numbers futures and OS threads have.
A timeline that is unusual in a way not known here needs the fallback: it has no shape, and is
attributed by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis.shapes.batch import FINISH, START, Pause, Shapes
from tracer.model import timeline as t

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tracer.analysis.shapes.batch import Batch

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

LONGEST: Final = 20_000
"""Timelines of more marks are attributed by themselves: they aren't alike."""

_NOTHING: Final = 61
_CODES: Final = 61
_FAR_NS: Final = 1 << 41
_THREADS: Final = 250
_VALUES: Final = 1 << 31
_NAMED: Final = (t.ENTER, t.EXIT, t.HOP, t.CALL)
_SEVERAL: Final = (t.SPAWN, t.CALL, t.BRIDGE, t.AWAITS)


def shapes(batch: Batch, number_of: Callable[[int, Ints], Ints]) -> Shapes:
    """Return the shapes of a batch; `number_of` gives a worker's names' numbers in the table."""
    return _Outline(batch, number_of).shapes()


class _Outline:
    """One batch on its way from marks to shapes; each step drops or renames marks."""

    def __init__(self, batch: Batch, number_of: Callable[[int, Ints], Ints]) -> None:
        self._batch = batch
        self._count = len(batch.heads)
        lengths = np.diff(batch.bounds)
        self._of = np.repeat(np.arange(self._count), lengths)
        codes, absolute, self._thread, self._value = (batch.marks[:, i].copy() for i in range(4))
        self._start = np.array([head.start_ns for head in batch.heads], np.int64)
        self._finish = np.array([head.finish_ns for head in batch.heads], np.int64) - self._start
        self._at = absolute - self._start[self._of]
        self._keep = np.ones(len(codes), bool)
        self._last = np.zeros(len(codes), bool)
        self._needs_fallback = lengths > LONGEST
        self._needs_fallback |= np.abs(self._finish) > _FAR_NS
        self._needs_fallback |= (self._start < 0) | (self._start > 1 << 62)
        unknown = (codes < 1) | (codes >= _CODES)
        self._refuse(unknown | (absolute < 0))
        self._code = np.where(unknown, 0, codes).astype(np.uint8)
        self._by_code = np.argsort(self._code, kind="stable")
        self._first = np.searchsorted(self._code[self._by_code], np.arange(_CODES + 1))
        self._name(number_of)

    def shapes(self) -> Shapes:
        """Take the steps in the order in which they need each other."""
        pauses = self._pauses()
        self._os_threads()
        early = self._run_on()
        self._tasks()
        self._timers()
        far = (np.abs(self._at) > _FAR_NS) | (self._value < 0) | (self._value >= _VALUES)
        self._refuse(far & self._keep)
        self._keep_last()
        return self._sorted(pauses, early)

    def _refuse(self, marks: Flags) -> None:
        self._needs_fallback[self._of[marks]] = True

    def _rows(self, code: int) -> Ints:
        return self._by_code[self._first[code] : self._first[code + 1]]

    def _name(self, number_of: Callable[[int, Ints], Ints]) -> None:
        workers = np.array(self._batch.workers, np.int64)
        named = np.concatenate([self._rows(code) for code in _NAMED])
        whose = workers[self._of[named]]
        for worker in set(self._batch.workers):
            mine = named[whose == worker]
            self._value[mine] = number_of(worker, self._value[mine])

    def _os_threads(self) -> None:
        """Forget what the kernel calls threads, but refuse it of two threads, or of none."""
        rows = np.concatenate([self._rows(t.OS_THREAD), self._rows(t.RUN_ON)])
        self._needs_fallback[self._of[rows[self._value[rows] == 0]]] = True
        rows = rows[np.lexsort((self._value[rows], self._of[rows]))]
        again, other = (
            (column[rows[1:]] == column[rows[:-1]]) for column in (self._value, self._thread)
        )
        of = self._of[rows]
        self._needs_fallback[of[1:][(of[1:] == of[:-1]) & again & ~other]] = True
        self._value[rows] = 0

    def _pauses(self) -> list[Pause]:
        """Take garbage collections out: begin and end stand side by side."""
        rows = self._rows(t.PAUSE)
        self._keep[rows] = False
        ends = self._rows(t.PAUSE_END)
        self._keep[ends] = False
        following = np.minimum(rows + 1, max(len(self._code) - 1, 0))
        paired = (
            (self._code[following] == t.PAUSE_END)
            & (self._of[following] == self._of[rows])
            & (self._thread[following] == self._thread[rows])
            & (self._at[following] >= self._at[rows])
        )
        self._needs_fallback[self._of[rows[~paired]]] = True
        self._needs_fallback[
            self._of[np.setdiff1d(ends, following[paired], assume_unique=True)]
        ] = True
        return [
            Pause(int(self._of[row]), int(self._at[row]), int(self._at[row + 1]), thread)
            for row, thread in zip(rows[paired], self._thread[rows[paired]].tolist(), strict=True)
        ]

    def _run_on(self) -> Ints:
        """Forget when a thread was free before it was handed anything; return these marks."""
        rows = self._rows(t.RUN_ON)
        if not len(rows):
            return rows
        before = np.maximum(rows - 1, 0)
        good = (
            (self._code[before] == t.RUN)
            & (self._of[before] == self._of[rows])
            & (self._thread[before] == self._thread[rows])
        )
        hops = (self._of << 32) | np.clip(self._value, 0, _VALUES)
        asked = self._rows(t.SUBMIT)
        asked = asked[np.argsort(hops[asked], kind="stable")]
        known = hops[asked]
        self._needs_fallback[self._of[asked[1:][known[1:] == known[:-1]]]] = True
        place = np.minimum(np.searchsorted(known, hops[before]), max(len(known) - 1, 0))
        found = known[place] == hops[before] if len(known) else np.zeros(len(rows), bool)
        self._needs_fallback[self._of[rows[~(good & found)]]] = True
        early = np.zeros(len(rows), bool)
        early[found] = self._at[rows[found]] <= self._at[asked[place[found]]]
        self._keep[rows[early]] = False
        kept: Ints = rows[early]
        return kept

    def _tasks(self) -> None:
        """Number tasks by request; those whose readiness says nothing are left out."""
        rows, ready = self._rows(t.TASK), self._rows(t.READY)
        pairs = self._pairs(np.concatenate([rows, ready]))
        known, first = np.unique(pairs[: len(rows)], return_index=True)
        order = np.argsort(first)
        of = self._of[rows[first[order]]]
        number = np.empty(len(known), np.int64)
        number[order] = np.arange(len(known)) - np.searchsorted(of, of) + 1
        place, found = _look_up(known, pairs)
        self._value[rows] = number[place[: len(rows)]]
        self._value[ready] = np.where(found, number[place], 0)[len(rows) :] if len(known) else 0
        self._keep[ready[self._value[ready] == 0]] = False

    def _timers(self) -> None:
        """Keep the timers of futures that were waited for; number these."""
        yields, timers = self._rows(t.YIELD), self._rows(t.TIMER)
        self._keep[self._rows(t.TIMER_DUE)] = False
        pairs = self._pairs(np.concatenate([yields, timers]))
        self._value[yields] = 0
        _, waited = _look_up(np.unique(pairs[: len(yields)]), pairs[len(yields) :])
        self._keep[timers[~waited]] = False
        of = self._of[timers]
        number = (np.arange(len(timers)) - np.searchsorted(of, of) + 1)[waited]
        timers, future = timers[waited], pairs[len(yields) :][waited]
        due = np.minimum(timers + 1, len(self._code) - 1)
        paired = self._code[due] == t.TIMER_DUE
        for column in (self._of, self._thread, self._value):
            paired &= column[due] == column[timers]
        known, first, times = np.unique(future, return_index=True, return_counts=True)
        self._needs_fallback[self._of[timers[~paired]]] = True
        self._needs_fallback[self._of[timers[first[times > 1]]]] = True
        self._keep[due[paired]] = True
        self._value[timers], self._value[due[paired]] = number, number[paired]
        place, found = _look_up(known, pairs[: len(yields)])
        self._value[yields[found]] = number[first[place[found]]]

    def _pairs(self, rows: Ints) -> Ints:
        """Return a number for each pair of request and value, in order of request."""
        known, number = np.unique(self._value[rows], return_inverse=True)
        found: Ints = self._of[rows] * len(known) + number
        return found

    def _keep_last(self) -> None:
        """Keep an instant of the last mark, whatever it says: what is open then ends there."""
        some = np.flatnonzero((self._code != t.RUN_ON) & (self._code != t.TIMER_DUE))
        if not len(some):
            return
        of, at = self._of[some], self._at[some]
        edges = np.flatnonzero(np.diff(of, prepend=-1))
        latest = np.maximum.reduceat(at, edges)
        is_last = at == np.repeat(latest, np.diff(edges, append=len(some)))
        has_kept = np.maximum.reduceat((is_last & self._keep[some]).astype(np.int64), edges) > 0
        first = some[is_last][np.unique(of[is_last], return_index=True)[1]]
        dropped = first[~has_kept]
        self._keep[dropped], self._code[dropped], self._value[dropped] = True, _NOTHING, 0
        self._last[some[is_last]] = True

    def _sorted(self, pauses: list[Pause], early: Ints) -> Shapes:
        n = self._count
        kept = np.flatnonzero(self._keep)
        each, none = np.arange(n), np.full(n, -1)
        of = np.concatenate([each, self._of[kept], each])
        at = np.concatenate([np.zeros(n, np.int64), self._at[kept], self._finish])
        code = np.concatenate([np.full(n, START), self._code[kept], np.full(n, FINISH)])
        rows = np.concatenate([none, kept, none])
        at = np.clip(at, -_FAR_NS, _FAR_NS)
        order = np.argsort((of << 43) + at + (_FAR_NS + 1), kind="stable")
        # Beginning and finish have no row: -1 finds the place behind all rows.
        spare = (
            self._within_hops(of[order], code[order]) & ~np.append(self._last, False)[rows[order]]
        )
        order = order[~spare]
        of, at, code, rows = of[order], at[order], code[order], rows[order]
        thread = np.append(self._thread, -1)[rows]
        value = np.append(self._value, 0)[rows]
        bounds = np.searchsorted(of, np.arange(n + 1))
        on, threads, thread_base = _threads(of, thread, n)
        self._needs_fallback[of[on >= _THREADS]] = True
        of_kernel = (code == t.OS_THREAD) | (code == t.RUN_ON)
        value[of_kernel] = on[of_kernel] + 1
        again = np.zeros(len(of), np.int64)
        again[1:] = (of[1:] == of[:-1]) & (at[1:] == at[:-1])
        packed = code | again << 7 | on << 8 | value << 16
        keys: list[bytes | None] = [
            None if needs_fallback else packed[low:high].tobytes()
            for needs_fallback, low, high in zip(
                self._needs_fallback.tolist(),
                bounds[:-1].tolist(),
                bounds[1:].tolist(),
                strict=True,
            )
        ]
        return Shapes(keys, bounds, at, code, on, value, rows, threads, thread_base, pauses, early)

    def _within_hops(self, of: Ints, code: Ints) -> Flags:
        """Say which marks are of tasks made ready that wait for a hand-off anyway."""
        several = np.zeros(self._count, bool)
        for one in _SEVERAL:
            several[of[code == one]] = True
        depth = np.cumsum((code == t.HOP).astype(np.int64) - (code == t.HOP_END))
        first = np.searchsorted(of, np.arange(self._count))
        before = np.where(first > 0, depth[first - 1], 0)
        within: Flags = (code == t.READY) & ~several[of] & (depth > before[of])
        return within


def _threads(of: Ints, thread: Ints, count: int) -> tuple[Ints, Ints, Ints]:
    """Number each timeline's threads by when they first made a mark."""
    begins = np.ones(len(of), bool)
    begins[1:] = (of[1:] != of[:-1]) | (thread[1:] != thread[:-1])
    stretch = np.cumsum(begins) - 1
    of, thread = of[begins], thread[begins]
    known, number = np.unique(thread, return_inverse=True)
    pairs, first, place = np.unique(
        of * len(known) + number, return_index=True, return_inverse=True
    )
    owner = pairs // len(known)
    order = np.lexsort((first, owner))
    base = np.searchsorted(owner, np.arange(count + 1))
    rank = np.empty(len(pairs), np.int64)
    rank[order] = np.arange(len(pairs)) - base[owner[order]]
    return rank[place][stretch], known[pairs[order] % len(known)], base


def _look_up(known: Ints, wanted: Ints) -> tuple[Ints, Flags]:
    """Return where in sorted numbers each wanted one stands, and whether it does."""
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    found: Flags = known[place] == wanted if len(known) else np.zeros(len(wanted), bool)
    return place, found
