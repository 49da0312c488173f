"""The exporting process: `python -m tracer.export.process`, started by an agent.

It makes spans and metrics of what workers recorded, reads messages from its standard input
to their end and writes what became of them to its standard output, a line of JSON each
time. It is nicer than the agent, and that one than the server.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.shapes.tally_builder import tallies_planner
from tracer.analysis.spans.span_builder import spans_planner
from tracer.export import messages
from tracer.export.metric_exporters import THREAD, MetricExportThread, make_metric_exporters
from tracer.export.metric_producer import MetricProducer
from tracer.export.span_exporters import make_span_exporters
from tracer.export.span_limits import Limits
from tracer.export.span_pipeline import SpanPipeline
from tracer.export.timeline_buffer import TimelineBuffer
from tracer.launch.priority import give_way
from tracer.settings.metrics import read_metrics
from tracer.settings.otlp import CONSOLE, aim, read_settings

if TYPE_CHECKING:
    from tracer.analysis.shapes.planner import Planner
    from tracer.analysis.spans.span_levels import Level
    from tracer.export.span_exporters import TraceExporter
    from tracer.settings.metrics import MetricSettings
    from tracer.settings.otlp import Settings

_IN, _PRINTED = 0, 1
_READ: Final = 1 << 20
_METRICS_ENDING_S: Final = 3.0
_LEAVING_S: Final = 20.0
_NICER: Final = 5  # than the agent, whose rings are full after some seconds
_OF_METRICS: Final = frozenset({"tracer.export.metric_producer", "tracer.export.metric_exporters"})


class ExportProcess:
    """Messages in; spans and metrics out, where there is somewhere to send them."""

    def __init__(self, out: int, detail: Level | None) -> None:
        """Export neither yet; what became of traces is written to descriptor `out`.

        `detail` is that of spans, None where none are made.
        """
        self._out = out
        planner: Planner[Any] = tallies_planner() if detail is None else spans_planner(detail)
        self._timelines = TimelineBuffer(planner, self._refuse)
        self._spans: SpanPipeline | None = None
        self._metrics: MetricProducer | None = None
        self._metric_exports: MetricExportThread | None = None
        self.error: str | None = None
        self.metrics_error: str | None = None
        self._complained = False

    def export_spans(self, settings: Settings, exporters: list[TraceExporter]) -> None:
        """Make spans."""
        self._spans = SpanPipeline(settings, exporters, self.report)

    def export_metrics(self, settings: MetricSettings, exporters: list[Any]) -> None:
        """Make metrics."""
        self._metric_exports = MetricExportThread(
            exporters, settings.timeout_s, self._metrics_exported
        )
        self._metrics = MetricProducer(
            settings, self._metric_exports, exemplars=self._spans is not None
        )

    def run(self) -> None:
        """Read to the end."""
        reader = messages.Reader()
        while True:
            if not select.select([_IN], [], [], self._pass_on())[0]:
                continue
            content = os.read(_IN, _READ)
            if not content:
                break
            for message in reader.feed(content):
                self._take(message)
        self._finish()
        self.report()

    def limit_wait(self) -> None:
        """The agent has ended: what is left is exported, if that is soon."""
        if self._spans is not None:
            self._spans.limit_wait()

    def _take(self, message: messages.Message) -> None:
        if message.kind != messages.COUNTS:
            self._timelines.take(message)
        elif self._metrics is not None:
            self._metrics.count(message)

    def _pass_on(self) -> float | None:
        """Make spans and metrics of what is due; return in how many seconds more is."""
        for batch in self._timelines.due():
            if self._metrics is not None:
                self._metrics.add(batch.planned)
            if self._spans is not None:
                # Where metrics are made they can't wait for a backend of traces.
                self._spans.take(batch, sheds=self._metrics is not None)
        due_in_s = self._timelines.due_in_s
        if self._metrics is not None:
            self._metrics.export_due()
            due_in_s = min(due_in_s, self._metrics.due_in_s)
        return None if math.isinf(due_in_s) else due_in_s

    def _finish(self) -> None:
        """Export the rest: metrics at once, they need no backend of traces."""
        rest = list(self._timelines.rest())
        if self._metrics is not None:
            for batch in rest:
                self._metrics.add(batch.planned)
            self._metrics.export()
        if self._spans is not None:
            for batch in rest:
                self._spans.take(batch, sheds=False)
            self._spans.shutdown()
        if self._metric_exports is not None:
            self._metric_exports.shutdown(_METRICS_ENDING_S)

    def _refuse(self) -> None:
        """Count a timeline that can't be read, once among the traces and once among metrics."""
        if self._spans is not None:
            self._spans.refuse()
        if self._metrics is not None:
            self._metrics.refused += 1

    def report(self) -> None:
        """Write how many traces became what."""
        found: dict[str, Any] = {"error": None}
        spans, exports = self._spans, self._metric_exports
        if spans is not None:
            found |= spans.counts()
            if found["failed_traces"]:
                unread = "a timeline could not be read" if spans.refused else None
                found["error"] = unread or self.error
        if exports is not None:
            found["metrics"] = {
                "exports": exports.exports,
                "failed_exports": exports.failed,
                "error": self.metrics_error if exports.failed else None,
            }
        with contextlib.suppress(OSError):
            os.write(self._out, json.dumps(found).encode() + b"\n")

    def _metrics_exported(self) -> None:
        """Report an export of metrics, and say once that they don't arrive.

        A backend of traces alone refuses every one.
        """
        exports = self._metric_exports
        if exports is not None and exports.failed and not self._complained:
            self._complained = True
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(
                    f"tracer: metrics did not arrive ({self.metrics_error}); spans go their own "
                    "way. Said once: OTEL_METRICS_EXPORTER=none sends no metrics\n"
                )
        self.report()


def _set_apart(*, printed: bool) -> int:
    """Keep what is printed apart from what we report; return where to."""
    out = os.dup(_PRINTED)
    path = os.environ.get(CONSOLE) if printed else None
    mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    opened = os.open(path or os.devnull, mode, 0o600)
    os.dup2(opened, _PRINTED)
    os.close(opened)
    return out


def _leave_with_the_agent(export: ExportProcess) -> None:
    """End a while after the pipe's other end was closed: a backend that is away holds nobody up."""
    poller = select.poll()
    poller.register(_IN, 0)  # POLLHUP comes unasked
    poller.poll()
    export.limit_wait()
    time.sleep(_LEAVING_S)
    os._exit(1)


class _LastWarning(logging.Handler):
    """Keeps the last that an exporter complained of; the log of an agent isn't for floods."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.export: ExportProcess | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a complaint."""
        if self.export is None:
            return
        said = " ".join(record.getMessage().split())[:300]
        # By thread: the exporters by gRPC share one logger.
        if record.threadName == THREAD or record.name in _OF_METRICS:
            self.export.metrics_error = said
        else:
            self.export.error = said


def main() -> int:
    """Read the environment, then messages."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    give_way(_NICER)
    warnings = _LastWarning()
    logging.basicConfig(handlers=[warnings], force=True)
    spans, _ = read_settings(os.environ)
    metrics, _ = read_metrics(os.environ)
    named = (*(spans.exporters if spans else ()), *(metrics.exporters if metrics else ()))
    aim(os.environ)
    out = _set_apart(printed="console" in named)
    span_exporters = make_span_exporters(spans.exporters, Limits()) if spans is not None else []
    metric_exporters = make_metric_exporters(metrics.exporters) if metrics is not None else []
    if not span_exporters and not metric_exporters:
        sys.stderr.write(f"tracer: no exporter of {', '.join(named)} can be used\n")
        return 2
    warnings.export = export = ExportProcess(
        out, spans.detail if spans is not None and span_exporters else None
    )
    if spans is not None and span_exporters:
        export.export_spans(spans, span_exporters)
    if metrics is not None and metric_exporters:
        export.export_metrics(metrics, metric_exporters)
    threading.Thread(target=_leave_with_the_agent, args=(export,), daemon=True).start()
    export.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
