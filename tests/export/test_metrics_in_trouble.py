"""Metrics where requests are sampled, the backend of traces is away, their own comes late."""

from __future__ import annotations

import json
import math
import sys

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tests.export.backend import Backend
from tests.support.server import (
    SERVERS,
    Server,
    agents_of,
    environment,
    free_port,
    requests_in,
    wait_for,
)
from tracer.analysis.metrics.instruments import INSTRUMENTS, SEEN
from tracer.recording.file import read_meta

ASKED = 120
RATE = 0.25


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """Return what a server recorded of a part of its requests, and what a backend was told."""
    directory = tmp_path_factory.mktemp("metrics")
    recording = directory / "site.tracer"
    with Backend() as backend:
        backend.status = 400
        env = environment(
            DEMO_DATABASE=str(directory / "demo.sqlite3"),
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"http://127.0.0.1:{free_port()}/v1/traces",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{backend.url}/v1/metrics",
            OTEL_METRICS_EXPORTER="otlp,console",
            OTEL_METRIC_EXPORT_INTERVAL="200",
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
            OTEL_BSP_MAX_QUEUE_SIZE="10",
            OTEL_RESOURCE_ATTRIBUTES="service.name=shop,service.instance.id=one",
        )
        run = ("tracer", "run", "--record", str(recording), "--sample", str(RATE), "--")
        command = (*run, sys.executable, "-m", *SERVERS["gunicorn-sync"])
        with Server(command, env, directory / "log") as server:
            for _ in range(ASKED):
                assert server.ask()[0] == 200
            assert wait_for(lambda: backend.refused)
            backend.status = 200
            assert wait_for(lambda: backend.metrics)
            server.stop()
        assert wait_for(lambda: not agents_of(recording), 30)
        requests = [ExportMetricsServiceRequest.FromString(one) for one in backend.metrics]
    return recording, requests_in(recording), requests


def points(request, name):
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    for metric in scope.metrics:
        if metric.name == name:
            return getattr(metric, metric.WhichOneof("data")).data_points
    return []


def test_a_sampled_request_counts_for_all_it_stands_for(sampled):
    _, recorded, requests = sampled
    assert 0 < len(recorded) < ASKED
    (point,) = points(requests[-1], "http.server.request.duration")
    assert point.count == len(recorded) / RATE
    spent = sum(one["end_ns"] - one["start_ns"] for one in recorded)
    assert math.isclose(point.sum, spent / RATE / 1e9)
    (seen,) = points(requests[-1], SEEN.name)
    assert seen.as_int == ASKED


def test_what_a_backend_missed_it_is_told_later_and_no_count_ever_falls(sampled):
    _, _, requests = sampled
    (resource,) = requests[-1].resource_metrics
    assert {one.key: one.value.string_value for one in resource.resource.attributes}.items() >= {
        ("service.name", "shop"),
        ("service.instance.id", "one"),
    }
    for name in (one.name for one in INSTRUMENTS):
        before = {}
        for request in requests:
            for point in points(request, name):
                key = str(point.attributes)
                count = getattr(point, "count", 0) or getattr(point, "as_int", 0)
                assert count >= before.get(key, 0)
                before[key] = count
                assert point.start_time_unix_nano < point.time_unix_nano


def test_what_became_of_exports_is_told_apart_from_traces(sampled):
    recording, recorded, requests = sampled
    told = read_meta(recording)["export"]
    assert told["failed_traces"] + told["shed_traces"] == len(recorded)
    assert told["metrics"]["failed_exports"] > 0
    assert told["metrics"]["exports"] == len(requests)
    assert told["metrics"]["error"]


def test_a_console_is_a_file_beside_the_recording(sampled):
    recording, _, _ = sampled
    text = recording.with_name(f"{recording.name}.console").read_text()
    document, _ = json.JSONDecoder().raw_decode(text)
    assert document["resource_metrics"]
