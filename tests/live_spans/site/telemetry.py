"""A user's OpenTelemetry: spans go to a file as lines of JSON."""

from __future__ import annotations

import json
import os

from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
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


def install():
    """Configure what `TEST_TELEMETRY` asks for, before the application is built."""
    asked = os.environ.get("TEST_TELEMETRY", "")
    if asked:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(Lines()))
        trace.set_tracer_provider(provider)
    if "django" in asked:
        DjangoInstrumentor().instrument()
