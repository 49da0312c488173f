"""Many timelines at once, and what is left of them when only their shapes are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tracer.model import timeline as t

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tracer.model.frames import Head
    from tracer.model.marks import Mark

    Ints = NDArray[np.int64]

START: Final = 62
FINISH: Final = 63


@dataclass(slots=True)
class Batch:
    """Timelines of one boot: their heads and workers, and all their marks in one matrix.

    `marks` has a row `(code, t_ns, thread, value)` a mark; those of timeline `i` are
    `marks[bounds[i]:bounds[i + 1]]`. `busy` is by worker, rows as in an occupancy frame.
    """

    heads: list[Head]
    workers: list[int]
    marks: Ints
    bounds: Ints
    busy: Mapping[int, Ints]

    def one(self, place: int) -> Batch:
        """Return one of its timelines by itself."""
        low, high = self.bounds[place], self.bounds[place + 1]
        return Batch(
            [self.heads[place]],
            [self.workers[place]],
            self.marks[low:high],
            np.array([0, high - low], np.int64),
            {self.workers[place]: self.busy[self.workers[place]]},
        )


class Pause(NamedTuple):
    """A garbage collection: whose (its place in the batch), and when since its start."""

    place: int
    start: int
    end: int
    thread: int


@dataclass(slots=True)
class Shapes:
    """The points of each timeline, in order: instants since its start, codes, threads.

    `keys` are None for timelines without a shape. `threads[thread_base[i] + n]` is what
    thread `n` of timeline `i` is to its worker.
    """

    keys: list[bytes | None]
    bounds: Ints
    instants: Ints
    codes: Ints
    on: Ints
    values: Ints
    rows: Ints
    threads: Ints
    thread_base: Ints
    pauses: list[Pause]
    early: Ints

    def symbolic(self, place: int) -> tuple[list[Mark], int, int]:
        """Return a timeline's marks with places instead of instants, its start and finish."""
        low, high = int(self.bounds[place]), int(self.bounds[place + 1])
        instants = self.instants[low:high]
        places = (np.searchsorted(instants, instants) + 1).tolist()
        rows, codes = self.rows[low:high].tolist(), self.codes[low:high].tolist()
        on, values = self.on[low:high].tolist(), self.values[low:high].tolist()
        by_row = {
            row: (code, at, thread, value)
            for row, code, at, thread, value in zip(rows, codes, places, on, values, strict=True)
            if row >= 0
        }
        if by_row:
            first, last = np.searchsorted(self.early, (min(by_row), max(by_row) + 1))
            for row in self.early[first:last].tolist():
                by_row[row] = (t.RUN_ON, 0, by_row[row - 1][2], by_row[row - 1][2] + 1)
        marks = [by_row[row] for row in sorted(by_row)]
        return marks, places[codes.index(START)], places[codes.index(FINISH)]
