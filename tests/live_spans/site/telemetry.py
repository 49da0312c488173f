"""A user's OpenTelemetry: spans go to a file as lines of JSON or to a backend, logs to a file."""

from __future__ import annotations

import json
import logging
import os
import sqlite3

from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation import dbapi
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


class Lines(SpanExporter):
    """Appends to a file."""

    def export(self, spans):
        with open(os.environ["TEST_SPANS"], "a", encoding="utf-8") as file:  # noqa: PTH123
            for one in spans:
                parent = one.parent and f"{one.parent.span_id:016x}"
                line = {
                    "name": one.name,
                    "trace_id": f"{one.context.trace_id:032x}",
                    "span_id": f"{one.context.span_id:016x}",
                    "parent_id": parent,
                    "kind": one.kind.name,
                    "attributes": dict(one.attributes),
                }
                file.write(json.dumps(line) + "\n")
        return SpanExportResult.SUCCESS


class Logs(LogRecordExporter):
    """Appends what OpenTelemetry makes of log records to a file."""

    def export(self, batch):
        for one in batch:
            record = one.log_record
            note("otel", record.body, f"{record.trace_id:032x}", f"{record.span_id:016x}")
        return LogRecordExportResult.SUCCESS

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=0):
        return True


class Injected(logging.Handler):
    """Appends what OpenTelemetry puts into the records themselves."""

    def emit(self, record):
        note("record", record.getMessage(), record.otelTraceID, record.otelSpanID)


def note(how, message, trace_id, span_id):
    with open(os.environ["TEST_LOGS"], "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write(json.dumps([how, message, trace_id, span_id]) + "\n")


def install():
    """Configure what `TEST_TELEMETRY` asks for, before the application is built."""
    asked = os.environ.get("TEST_TELEMETRY", "")
    if asked:
        provider = TracerProvider()
        backend = os.environ.get("TEST_OTLP")
        exporter = OTLPSpanExporter(endpoint=f"{backend}/v1/traces") if backend else Lines()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
    if "django" in asked:
        DjangoInstrumentor().instrument()
    if "sqlite3" in asked:
        # What opentelemetry-instrumentation-sqlite3 does.
        for module in (sqlite3, sqlite3.dbapi2):
            dbapi.trace_integration(module, "connect", "sqlite")
    if "logging" in asked:
        install_logs()


def install_logs():
    """Have log records carry ids both ways: injected, and as OpenTelemetry's own records."""
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(Logs()))
    _logs.set_logger_provider(provider)
    LoggingInstrumentor().instrument(inject_trace_context=True)
    logging.getLogger("site").addHandler(Injected())
    logging.getLogger("site").warning("at the start")
