"""Many requests at a glance: when each began, how long it took, of which route it was."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.attribution.request import Request

    Ints = NDArray[np.int64]
    Glance = tuple[int, int, int, str | None]

POINTS: Final = 1_200
_COLUMNS: Final = 120
_STEPS_PER_OCTAVE: Final = 5
_SLOWEST: Final = 6
_ROUTES: Final = 12


@dataclass(frozen=True, slots=True)
class Overview:
    """Columns of one row a request; `numbers` are theirs among all, `routes` point into `named`."""

    numbers: Ints
    start_ns: Ints
    duration_ns: Ints
    routes: Ints
    named: tuple[str | None, ...]

    @classmethod
    def of(cls, rows: Iterable[Glance]) -> Self:
        """Return the overview of rows of number, start, duration and route."""
        places: dict[str | None, int] = {}
        flat = array("q")
        for number, start, duration, route in rows:
            flat.extend((number, start, duration, places.setdefault(route, len(places))))
        columns = np.array(flat, np.int64).reshape(-1, 4)
        return cls(columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3], tuple(places))

    @classmethod
    def of_requests(cls, requests: Sequence[Request]) -> Self:
        """Return the overview of requests, which are numbered as they come."""
        return cls.of(
            (place, one.start_ns, one.duration_ns, one.route) for place, one in enumerate(requests)
        )

    def __len__(self) -> int:
        """Return how many requests there are."""
        return len(self.numbers)

    def near(self, duration_ns: int) -> int | None:
        """Return the number of the request that took as long as that, as nearly as any."""
        if not len(self):
            return None
        return int(self.numbers[np.argmin(np.abs(self.duration_ns - duration_ns))])

    def slowest(self) -> int | None:
        """Return the number of the slowest request."""
        return int(self.numbers[np.argmax(self.duration_ns)]) if len(self) else None

    def spread(self, most: int) -> list[int]:
        """Return numbers of `most` requests at most that stand for all: told apart by duration.

        The slowest ones come first, then the median one of each frequent route, then what
        stands at even steps in the order of duration; so a part from the front will do too.
        """
        if not len(self):
            return []
        order = np.argsort(self.duration_ns, kind="stable")
        steps = np.linspace(0, len(order) - 1, most).round().astype(np.int64)
        chosen = [*order[::-1][:_SLOWEST], *self._medians(order), *order[_shuffled(steps)]]
        return list(dict.fromkeys(int(self.numbers[place]) for place in chosen))[:most]

    def _medians(self, order: Ints) -> list[Any]:
        """Return the place of the median request of the most frequent routes."""
        counts = np.bincount(self.routes, minlength=len(self.named))
        found = []
        for route in np.argsort(-counts, kind="stable")[:_ROUTES]:
            there = order[self.routes[order] == route]
            if len(there):
                found.append(there[(len(there) - 1) // 2])
        return found

    def points(self) -> dict[str, Any]:
        """Return latency over time: each request, or where there are too many, cells of a grid.

        `at_ns` counts from the first request, which began at `first_ns`. A cell says its
        middle and how many it holds.
        """
        if not len(self):
            return {"cells": False, "first_ns": 0, "at_ns": [], "duration_ns": [], "requests": []}
        first = int(self.start_ns.min())
        at = self.start_ns - first
        if len(self) <= POINTS:
            order = np.argsort(at, kind="stable")
            return {
                "cells": False,
                "first_ns": first,
                "at_ns": at[order].tolist(),
                "duration_ns": self.duration_ns[order].tolist(),
                "requests": [1] * len(self),
            }
        wide = int(at.max()) // _COLUMNS + 1
        steps = np.log2(np.maximum(self.duration_ns, 1)) * _STEPS_PER_OCTAVE
        grid = np.stack([at // wide, np.floor(steps).astype(np.int64)])
        cells, counts = np.unique(grid, axis=1, return_counts=True)
        middles = np.exp2((cells[1] + 0.5) / _STEPS_PER_OCTAVE)
        return {
            "cells": True,
            "first_ns": first,
            "at_ns": (cells[0] * wide + wide // 2).tolist(),
            "duration_ns": middles.round().astype(np.int64).tolist(),
            "requests": counts.tolist(),
        }


def _shuffled(steps: Ints) -> Ints:
    """Return steps with coarse ones first: the ends, the middle, the quarters, and so on."""
    last, found, stride = len(steps) - 1, [], len(steps)
    while stride > 0:
        found += list(range(0, last + 1, stride))
        stride //= 2
    return steps[np.array(list(dict.fromkeys([0, last, *found])), np.int64)]
