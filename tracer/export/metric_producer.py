"""Timelines to metrics: added up as a recording's conclusions are, exported now and then."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from tracer.analysis.metrics.durations import Answers
from tracer.analysis.metrics.instruments import DROPPED, SEEN, Bounds, Series, measured
from tracer.analysis.metrics.labels import Names
from tracer.analysis.shapes.tally_builder import TallyBuilder
from tracer.analysis.statistics.tally import Tallies
from tracer.export.metrics_data import make_resource, metrics_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.analysis.shapes.planned_batch import PlannedBatch
    from tracer.export import messages
    from tracer.export.metric_exporters import MetricExportThread
    from tracer.settings.metrics import MetricSettings

_ROUTES, _SITES, _CULPRITS = 200, 100, 100

_logger = logging.getLogger(__name__)


class MetricProducer:
    """Adds up what workers recorded; `export_due` is to be called when it says."""

    def __init__(
        self,
        settings: MetricSettings,
        exports: MetricExportThread,
        *,
        exemplars: bool,
    ) -> None:
        """Begin at nothing; `exemplars` where the traces they point to are exported."""
        self._settings, self._exports = settings, exports
        self._exemplars = exemplars and settings.exemplars
        self._bounds = Bounds(Names(_ROUTES), Names(_SITES), Names(_CULPRITS))
        self._tallies = TallyBuilder(Tallies())
        self._answers = Answers(self._bounds.routes)
        self._resource = make_resource()
        self._counts: dict[int, Mapping[str, int]] = {}
        self._start_ns = time.time_ns()
        self._due = time.monotonic() + settings.interval_s
        self.refused = 0
        """How many timelines are in none of the figures."""

    def count(self, message: messages.Message) -> None:
        """Take how many requests a worker saw and dropped."""
        self._counts[message.worker] = json.loads(message.content)

    def add(self, planned: PlannedBatch[Any]) -> None:
        """Add timelines up."""
        try:
            rows = self._tallies.add_planned(planned)
            self._answers.add(rows, planned.batch, planned.workers)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with them, the next are fine
            self.refused += len(planned.batch.heads)
            _logger.warning("timelines could not be measured (%r)", error)

    @property
    def due_in_s(self) -> float:
        """In how many seconds the next export is due."""
        return max(self._due - time.monotonic(), 0.0)

    def export_due(self) -> None:
        """Export, if that is due."""
        if not self.due_in_s:
            self._due = time.monotonic() + self._settings.interval_s
            self.export()

    def export(self) -> None:
        """Have everything exported as it stands."""
        found: dict[Any, list[Series]] = measured(
            self._tallies.tallies, self._answers, self._bounds
        )
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
