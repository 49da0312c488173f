"""Timelines to metrics: attributed once more in the exporting process, added up, handed over.

Each is held back for a moment, so that who else ran meanwhile is known, as a recording's
conclusions wait for the next batch: so both say the same to the nanosecond.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.metrics.durations import Answers
from tracer.analysis.metrics.instruments import DROPPED, SEEN, Bounds, Series, measured
from tracer.analysis.metrics.labels import Names
from tracer.analysis.shapes.fold import Folder
from tracer.analysis.statistics.tally import Tallies
from tracer.export import messages
from tracer.export.converting import Converter
from tracer.export.metrics_data import make_resource, metrics_data
from tracer.model.frames import TIMELINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.export.metric_exporters import MetricExportThread
    from tracer.settings.metrics import MetricSettings

_HELD_S: Final = 1.0
_TOGETHER: Final = 256
_MOST: Final = 16 << 20
_ROUTES, _SITES, _CULPRITS = 200, 100, 100

_logger = logging.getLogger(__name__)


class MetricProducer:
    """Adds up what workers recorded; `tick` is to be called when it says."""

    def __init__(
        self,
        settings: MetricSettings,
        exports: MetricExportThread,
        *,
        exemplars: bool,
    ) -> None:
        """Begin at nothing; `exemplars` where the traces they point to are exported."""
        self._settings, self._exports = settings, exports
        self._converter = Converter()
        self._exemplars = exemplars and settings.exemplars
        self._bounds = Bounds(Names(_ROUTES), Names(_SITES), Names(_CULPRITS))
        self._folder = Folder(Tallies())
        self._answers = Answers(self._bounds.routes)
        self._resource = make_resource()
        self._held: deque[tuple[float, int, bytes]] = deque()
        self._bytes = 0
        self._counts: dict[int, Mapping[str, int]] = {}
        self._start_ns = time.time_ns()
        self._due = time.monotonic() + settings.interval_s
        self.refused = 0

    def take(self, message: messages.Message) -> None:
        """Hold a timeline back, learn from what else a worker tells."""
        if message.kind == TIMELINE:
            self._held.append((time.monotonic(), message.worker, message.content))
            self._bytes += len(message.content)
        elif message.kind == messages.COUNTS:
            self._counts[message.worker] = json.loads(message.content)
        else:
            self._converter.learn(message)

    def tick(self) -> float:
        """Do what is due; return in how many seconds something is again."""
        moment = time.monotonic()
        while self._held and (self._bytes > _MOST or (moment - self._held[0][0] > 2 * _HELD_S)):
            self._fold(moment - _HELD_S if self._bytes <= _MOST else moment)
        if moment >= self._due:
            self._due = moment + self._settings.interval_s
            self._hand_over()
        waits = self._held[0][0] + 2 * _HELD_S if self._held else self._due
        return max(min(waits, self._due) - moment, 0.0)

    def close(self) -> None:
        """Add up the rest and hand it over for the last time."""
        while self._held:
            self._fold(time.monotonic())
        self._hand_over()

    def _fold(self, until: float) -> None:
        several: list[tuple[int, bytes]] = []
        while self._held and len(several) < _TOGETHER and self._held[0][0] <= until:
            _, worker, frame = self._held.popleft()
            self._bytes -= len(frame)
            several.append((worker, frame))
        try:
            batch, workers = self._converter.batch_of(several)
            rows = self._folder.fold(batch, workers)
            self._answers.add(rows, batch, workers)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with them, the next are fine
            self.refused += len(several)
            _logger.warning("timelines could not be measured (%r)", error)

    def _hand_over(self) -> None:
        found: dict[Any, list[Series]] = measured(self._folder.tallies, self._answers, self._bounds)
        if not self._exemplars:
            found = {
                name: [Series(one.labels, one.value) for one in several]
                for name, several in found.items()
            }
        seen = sum(one.get("seen", 0) for one in self._counts.values())
        lost = sum(one.get("dropped", 0) + one.get("shed", 0) for one in self._counts.values())
        if seen or lost or found:
            found[SEEN] = [Series((), seen)]
            found[DROPPED] = [Series((), lost + self.refused)]
            now_ns = time.time_ns()
            self._exports.export(metrics_data(found, self._resource, self._start_ns, now_ns))
        self._answers.forget_examples()
