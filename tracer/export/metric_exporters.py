"""Exporters of metrics: the SDK's, handed our figures as the SDK's data."""

from __future__ import annotations

import logging
import threading
import time
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics.export import MetricExportResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData

THREAD: Final = "tracer-metrics"
"""The name of the thread that exports."""

_GROUP: Final = "opentelemetry_metrics_exporter"
_AWAY_S: Final = 2.0
_MILLIS: Final = 1_000

_logger = logging.getLogger(__name__)


def make_metric_exporters(names: Sequence[str]) -> list[Any]:
    """Return an exporter for each name of an entry point that can be used."""
    found = []
    for name in names:
        try:
            (entry,) = entry_points(group=_GROUP, name=name)
            found.append(entry.load()())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others work
            _logger.warning("no metrics exporter %s (%s)", name, error)
    return found


class MetricExportThread:
    """Exports from a thread of its own, one after the other.

    All figures are cumulative, so a backend that is away or slow loses none: what can't be
    sent is left out, and the next says it all.
    """

    def __init__(
        self, exporters: Sequence[Any], timeout_s: float, on_change: Callable[[], None]
    ) -> None:
        """Export through each of `exporters`; `on_change` is called after each time."""
        self.exports = self.failed = 0
        self._exporters, self._timeout_s, self._on_change = exporters, timeout_s, on_change
        self._changed = threading.Condition()
        self._next: MetricsData | None = None
        self._exporting = self._ending = self._away = False
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self._thread.start()

    def export(self, data: MetricsData) -> None:
        """Have figures exported, in place of those that still wait: they are cumulative."""
        with self._changed:
            self._next = data
            self._changed.notify_all()

    def shutdown(self, timeout_s: float) -> None:
        """Wait for what is on its way; a backend that was away last isn't waited for as long."""
        deadline = time.monotonic() + (min(timeout_s, _AWAY_S) if self._away else timeout_s)
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            while (self._next is not None or self._exporting) and time.monotonic() < deadline:
                self._changed.wait(max(deadline - time.monotonic(), 0))
        for one in self._exporters:
            try:
                one.shutdown()
            except Exception as error:  # noqa: BLE001 - it is over either way
                _logger.warning("a metrics exporter could not be ended (%s)", error)
        self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._next is None and not self._ending:
                    self._changed.wait()
                data, self._next = self._next, None
                if data is None:
                    return
                self._exporting = True
            sent = [self._export(one, data) for one in self._exporters]
            arrived = all(sent)
            with self._changed:
                self._exporting, self._away = False, not arrived
                self.exports += arrived
                self.failed += not arrived
                self._changed.notify_all()
            self._on_change()

    def _export(self, exporter: Any, data: MetricsData) -> bool:
        try:
            result = exporter.export(data, timeout_millis=self._timeout_s * _MILLIS)
        except Exception as error:  # noqa: BLE001 - an exporter's failure is a lost export, no more
            _logger.warning("metrics were not exported (%s)", error)
            return False
        return result is MetricExportResult.SUCCESS
