"""OpenTelemetry's instrumentation of Django: all requests, batches by OTLP over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.peers import sink

if TYPE_CHECKING:
    from collections.abc import Callable

TITLE = "OpenTelemetry"
DISTRIBUTION = "opentelemetry-instrumentation-django"
REQUIREMENTS = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-django",
    "opentelemetry-instrumentation-asgi",
)


def start() -> None:
    """Set it up as its documentation does."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "demo"}))
    exporter = OTLPSpanExporter(endpoint=f"{sink()}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument()


def watch() -> Callable[[], int]:
    """Count the spans that end."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanProcessor

    ended: list[Any] = []

    class Counter(SpanProcessor):
        def on_end(self, span: Any) -> None:
            """Count it."""
            ended.append(span)

    trace.get_tracer_provider().add_span_processor(Counter())
    return lambda: len(ended)
