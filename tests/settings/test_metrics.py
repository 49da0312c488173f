from __future__ import annotations

import pytest

from tracer.settings import otlp as exporting
from tracer.settings.metrics import MetricSettings, passed_on, read_metrics

HTTP = ("otlp_proto_http",)
METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, None),
        ({"TRACER_OTLP": "http://a:4318"}, HTTP),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, HTTP),
        ({METRICS: "http://a:9090/api/v1/otlp/v1/metrics"}, HTTP),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:4318/v1/traces"}, None),
        ({"OTEL_METRICS_EXPORTER": "console"}, ("console",)),
        ({"OTEL_METRICS_EXPORTER": "otlp, console"}, (*HTTP, "console")),
        ({"OTEL_METRICS_EXPORTER": "none", "TRACER_OTLP": "http://a:1"}, None),
        ({"OTEL_SDK_DISABLED": "true", METRICS: "http://a:1"}, None),
    ],
)
def test_metrics_go_where_the_environment_says(environ, exporters):
    settings, problems = read_metrics(environ)
    assert (settings and settings.exporters) == exporters
    assert problems == []
    spans = exporting.read_settings(environ)[0] is not None
    assert (passed_on(environ).get(exporting.ENABLED) == "1") == (spans or exporters is not None)


def test_interval_timeout_and_exemplars_are_the_specifications():
    settings, problems = read_metrics(
        {
            METRICS: "http://a:1",
            "OTEL_METRIC_EXPORT_INTERVAL": "1500",
            "OTEL_METRIC_EXPORT_TIMEOUT": "250",
            "OTEL_METRICS_EXEMPLAR_FILTER": "always_off",
        }
    )
    assert problems == []
    assert settings == MetricSettings(HTTP, 1.5, 0.25, exemplars=False)
    assert read_metrics({METRICS: "http://a:1"})[0] == MetricSettings(HTTP, 60.0, 30.0)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
    ],
)
def test_what_cannot_be_used_is_named(variable, text):
    _, problems = read_metrics({METRICS: "http://a:1", variable: text})
    assert [one.variable for one in problems] == [variable]
