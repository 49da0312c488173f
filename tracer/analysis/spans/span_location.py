"""Where spans' code stands and what their threads are called, for requests of known shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.model import timeline as t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch, Shapes
    from tracer.analysis.spans.span_shape import SpanShape
    from tracer.model.nametable import CodeLocation

    Ints = NDArray[np.int64]

_MOST: Final = 4096
"""So many shapes of a worker are remembered."""


@dataclass(frozen=True, slots=True, eq=False)
class SpanLocations:
    """Where the code of each of a shape's spans stands: one of the same content is the same."""

    places: tuple[CodeLocation | None, ...] = ()


UNPLACED: Final = SpanLocations()


class LocationCache:
    """Looks code up for each shape once a worker, and gives those that agree the same answer."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._workers: dict[int, tuple[Worker, dict[SpanShape, SpanLocations]]] = {}
        self._same: dict[tuple[CodeLocation | None, ...], SpanLocations] = {}

    def of(self, number: int, worker: Worker, shape: SpanShape) -> SpanLocations:
        """Return where the spans' code stands in a worker."""
        before, known = self._workers.get(number, (None, {}))
        if before is not worker or len(known) > _MOST:
            known = {}
            self._workers[number] = worker, known
        found = known.get(shape)
        if found is None:
            places = tuple(
                None if one.code is None else worker.places.get(one.code) for one in shape.spans
            )
            if len(self._same) > _MOST:
                self._same.clear()
            found = known[shape] = self._same.setdefault(places, SpanLocations(places))
        return found


def kernel_threads(batch: Batch, shapes: Shapes) -> Ints:
    """Return what the kernel calls each of `shapes.threads`, 0 where that isn't known."""
    found = np.zeros(len(shapes.threads), np.int64)
    known = np.flatnonzero((shapes.codes == t.OS_THREAD) | (shapes.codes == t.RUN))
    if not len(known):
        return found
    rows = shapes.rows[known] + (shapes.codes[known] == t.RUN)  # RUN_ON comes behind RUN
    rows = np.minimum(rows, len(batch.marks) - 1)
    says = np.isin(batch.marks[rows, 0], (t.OS_THREAD, t.RUN_ON))
    of = np.searchsorted(shapes.bounds, known[says], side="right") - 1
    found[shapes.thread_base[of] + shapes.on[known[says]]] = batch.marks[rows[says], 3]
    return found
