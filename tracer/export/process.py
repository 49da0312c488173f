"""The exporting process: `python -m tracer.export.process`, started by an agent.

It makes spans and metrics of what workers recorded, reads messages from its standard input
to their end and writes what became of them to its standard output, a line of JSON each
time. It is nicer than the agent, and that one than the server.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from tracer.export import messages
from tracer.export.metric_exporters import THREAD, MetricExportThread, make_metric_exporters
from tracer.export.metric_producer import MetricProducer
from tracer.export.span_exporters import make_span_exporters
from tracer.export.span_limits import Limits
from tracer.export.span_pipeline import SpanPipeline
from tracer.launch.priority import give_way
from tracer.settings.metrics import read_metrics
from tracer.settings.otlp import CONSOLE, aim, read_settings

if TYPE_CHECKING:
    from tracer.export.span_exporters import TraceExporter
    from tracer.settings.metrics import MetricSettings
    from tracer.settings.otlp import Settings

_IN, _PRINTED = 0, 1
_READ: Final = 1 << 20
_METRICS_ENDING_S: Final = 3.0
_LEAVING_S: Final = 20.0
_NICER: Final = 5  # than the agent, whose rings are full after some seconds
_OF_METRICS: Final = frozenset({"tracer.export.metric_producer", "tracer.export.metric_exporters"})


class Export:
    """Messages in; spans and metrics out, where there is somewhere to send them."""

    def __init__(self, out: int) -> None:
        """Do neither yet; what became of traces is written to descriptor `out`."""
        self._out = out
        self._spans: SpanPipeline | None = None
        self._meter: MetricProducer | None = None
        self._sender: MetricExportThread | None = None
        self.error: str | None = None
        self.metrics_error: str | None = None
        self._complained = False

    def draw(self, settings: Settings, exporters: list[TraceExporter], *, sheds: bool) -> None:
        """Make spans; `sheds` where metrics are made too."""
        self._spans = SpanPipeline(settings, exporters, self.tell, sheds=sheds)

    def measure(self, settings: MetricSettings, exporters: list[Any]) -> None:
        """Make metrics."""
        self._sender = MetricExportThread(exporters, settings.timeout_s, self._metrics_went)
        self._meter = MetricProducer(settings, self._sender, exemplars=self._spans is not None)

    def run(self) -> None:
        """Read to the end."""
        reader = messages.Reader()
        while True:
            patience = self._meter.tick() if self._meter is not None else None
            if not select.select([_IN], [], [], patience)[0]:
                continue
            content = os.read(_IN, _READ)
            if not content:
                break
            for message in reader.feed(content):
                if self._meter is not None:
                    self._meter.take(message)
                if self._spans is not None:
                    self._spans.take(message)
        if self._meter is not None:
            self._meter.close()
        if self._spans is not None:
            self._spans.close()
        if self._sender is not None:
            self._sender.shutdown(_METRICS_ENDING_S)
        self.tell()

    def hurry(self) -> None:
        """The agent has ended: what is left is sent, if that is soon."""
        if self._spans is not None:
            self._spans.hurry()

    def tell(self) -> None:
        """Write how many traces became what."""
        told: dict[str, Any] = {"error": None}
        spans, sender = self._spans, self._sender
        if spans is not None:
            told |= spans.tally()
            if told["failed_traces"]:
                unread = "a timeline could not be read" if spans.refused else None
                told["error"] = unread or self.error
        if sender is not None:
            told["metrics"] = {
                "exports": sender.exports,
                "failed_exports": sender.failed,
                "error": self.metrics_error if sender.failed else None,
            }
        with contextlib.suppress(OSError):
            os.write(self._out, json.dumps(told).encode() + b"\n")

    def _metrics_went(self) -> None:
        """Tell of an export of metrics, and say once that they don't arrive.

        A backend of traces alone refuses every one.
        """
        if self._sender is not None and self._sender.failed and not self._complained:
            self._complained = True
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(
                    f"tracer: metrics did not arrive ({self.metrics_error}); spans go their own "
                    "way. Said once: OTEL_METRICS_EXPORTER=none sends no metrics\n"
                )
        self.tell()


def _set_apart(*, printed: bool) -> int:
    """Keep what is printed apart from what we tell; return where we do."""
    out = os.dup(_PRINTED)
    path = os.environ.get(CONSOLE) if printed else None
    mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    opened = os.open(path or os.devnull, mode, 0o600)
    os.dup2(opened, _PRINTED)
    os.close(opened)
    return out


def _leave_with_the_agent(export: Export) -> None:
    """End a while after the pipe's other end was closed: a backend that is away holds nobody up."""
    poller = select.poll()
    poller.register(_IN, 0)  # POLLHUP comes unasked
    poller.poll()
    export.hurry()
    time.sleep(_LEAVING_S)
    os._exit(1)


class _Heard(logging.Handler):
    """Keeps the last that an exporter complained of; the log of an agent isn't for floods."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.export: Export | None = None

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
    heard = _Heard()
    logging.basicConfig(handlers=[heard], force=True)
    spans, _ = read_settings(os.environ)
    metrics, _ = read_metrics(os.environ)
    named = (*(spans.exporters if spans else ()), *(metrics.exporters if metrics else ()))
    aim(os.environ)
    out = _set_apart(printed="console" in named)
    traces = make_span_exporters(spans.exporters, Limits()) if spans is not None else []
    exporters = make_metric_exporters(metrics.exporters) if metrics is not None else []
    if not traces and not exporters:
        sys.stderr.write(f"tracer: no exporter of {', '.join(named)} can be used\n")
        return 2
    heard.export = export = Export(out)
    if spans is not None and traces:
        export.draw(spans, traces, sheds=bool(exporters))
    if metrics is not None and exporters:
        export.measure(metrics, exporters)
    threading.Thread(target=_leave_with_the_agent, args=(export,), daemon=True).start()
    export.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
