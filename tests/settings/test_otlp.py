from __future__ import annotations

import pytest

from tracer.settings import otlp as exporting
from tracer.settings.otlp import Settings, aim, passed_on, read_settings

HTTP = ("otlp_proto_http",)


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, None),
        ({"TRACER_OTLP": "http://127.0.0.1:4318"}, HTTP),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:4318"}, HTTP),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://there:4318/v1/traces"}, HTTP),
        ({"OTEL_TRACES_EXPORTER": "otlp,console"}, (*HTTP, "console")),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"}, None),
        ({"OTEL_TRACES_EXPORTER": "none", "TRACER_OTLP": "http://a:1"}, HTTP),
        ({"OTEL_SDK_DISABLED": "True", "TRACER_OTLP": "http://a:1"}, None),
    ],
)
def test_what_is_exported_to_is_what_the_environment_names(environ, exporters):
    settings, problems = read_settings(environ)
    assert (settings and settings.exporters) == exporters
    assert problems == []
    assert (passed_on(environ).get(exporting.ENABLED) == "1") == (exporters is not None)


def test_batches_are_made_as_the_batch_processor_is_told():
    settings, problems = read_settings(
        {
            "TRACER_OTLP": "http://127.0.0.1:4318",
            "TRACER_SPANS": "all",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_BSP_EXPORT_TIMEOUT": "1500",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "400",
        }
    )
    assert problems == []
    assert settings == Settings(HTTP, "all", 0.25, 1.5, 100, 100)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TRACER_OTLP", "127.0.0.1:4318"),
        ("TRACER_OTLP", "ftp://there"),
        ("TRACER_OTLP", "http://there:port"),
        ("TRACER_SPANS", "some"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml"),
    ],
)
def test_what_cannot_be_used_is_named(variable, text):
    _, problems = read_settings({"TRACER_OTLP": "http://127.0.0.1:4318", variable: text})
    assert [problem.variable for problem in problems] == [variable]
    assert text in problems[0].reason


@pytest.mark.parametrize(
    ("environ", "exported"),
    [
        ({}, False),
        ({"TRACER_OTLP": "http://here:1"}, True),
        ({"TRACER_EXPORT": "1"}, True),
        ({"TRACER_EXPORT": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:1"}, False),
    ],
)
def test_a_server_knows_whether_it_is_exported(environ, exported):
    assert exporting.is_exported(environ) is exported


@pytest.mark.parametrize("variable", ["TRACER_OTLP", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_an_exporter_that_is_not_installed_is_said_and_nothing_exported(variable, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda _name: None)
    environ = {variable: "http://here:1"}
    settings, problems = read_settings(environ)
    assert settings is None
    (problem,) = problems
    assert "pip install 'django-layer-tracer[otlp]'" in problem.reason
    assert problem.variable == (variable if variable == "TRACER_OTLP" else "OTEL_TRACES_EXPORTER")
    assert passed_on(environ) == {}
    assert not exporting.is_exported(environ)


def test_the_option_goes_before_the_sdk_s_own_endpoints():
    environ = {
        "TRACER_OTLP": "http://here:1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:2",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://there:3/v1/traces",
    }
    aim(environ)
    assert environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://here:1"
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" not in environ
