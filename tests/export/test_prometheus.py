"""Metrics of real servers in a real Prometheus: against the recording, in every dashboard."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.backends.jaeger import Jaeger
from tests.backends.prometheus import Prometheus
from tests.support.server import (
    ROOT,
    SERVERS,
    Server,
    agents_of,
    environment,
    requests_in,
    wait_for,
)
from tracer.analysis.metrics.instruments import INSTRUMENTS
from tracer.analysis.statistics.exponential import SCALE
from tracer.analysis.statistics.spread import COARSE_BITS
from tracer.model.layers import HOP_PHASES

NAMES = ("gunicorn-sync", "gunicorn-uvicorn")
PATHS = ("/test/", "/queries/", "/async/", "/block/?ms=5", "/gather/", "/pool/free/", "/raises/")
AT_ONCE = 3
ROUNDS = 4
INTERVAL_MS = 300
ONE_NS = 1e-9
BUCKET = 2 ** (2**-SCALE) * (1 + 2 ** -(COARSE_BITS + 1))
DASHBOARDS = sorted((ROOT / "dashboards" / "grafana" / "dashboards").glob("*.json"))


@dataclass
class World:
    """What was recorded of each server, and where its metrics and traces went."""

    prometheus: Prometheus
    jaeger: Jaeger
    recorded: dict
    began: float

    def layers(self, name, **wanted):
        total = Counter()
        for one in self.recorded[name]:
            if all(one[field] == value for field, value in wanted.items()):
                total.update(one["layers"])
        return total


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Load a WSGI and an ASGI server at once, twice, so that figures grow while they are seen."""
    directory = tmp_path_factory.mktemp("metrics")
    recordings = {name: directory / f"{name}.tracer" for name in NAMES}
    began = time.time()
    with ExitStack() as stack:
        prometheus = stack.enter_context(Prometheus(directory))
        jaeger = stack.enter_context(Jaeger(directory))
        servers = [
            stack.enter_context(server(directory, name, recordings[name], prometheus, jaeger))
            for name in NAMES
        ]
        for pause_s in (2.7, 0):
            with ThreadPoolExecutor(AT_ONCE * len(servers)) as pool:
                for number in range(ROUNDS):
                    path = PATHS[number % 2 :] + PATHS[: number % 2]
                    for asked in servers:
                        list(pool.map(asked.ask, path[:AT_ONCE]))
                        list(pool.map(asked.ask, path[AT_ONCE:]))
            time.sleep(pause_s)
            assert wait_for(lambda: told_of(prometheus) == set(NAMES), 20)
        for one in servers:
            one.stop()
        for recording in recordings.values():
            assert wait_for(lambda path=recording: not agents_of(path), 30)
        recorded = {name: requests_in(path) for name, path in recordings.items()}
        yield World(prometheus, jaeger, recorded, began)


def told_of(prometheus):
    """Which servers there are figures of by now: an agent gives way to all that runs beside it."""
    found = prometheus.query("histogram_count(http_server_request_duration_seconds)")
    return {labels["job"] for labels, _ in found}


def server(directory, name, recording, prometheus, jaeger):
    env = environment(
        DEMO_DATABASE=str(directory / f"{name}.sqlite3"),
        OTEL_SERVICE_NAME=name,
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=prometheus.endpoint,
        OTEL_METRIC_EXPORT_INTERVAL=str(INTERVAL_MS),
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    run = ("tracer", "run", "--record", str(recording), "--otlp", jaeger.endpoint, "--")
    return Server((*run, sys.executable, "-m", *SERVERS[name]), env, directory / f"{name}.log")


@pytest.mark.parametrize("name", NAMES)
def test_sums_of_layers_are_the_recordings_to_the_nanosecond(world, name):
    for route in {one["route"] for one in world.recorded[name]}:
        found = world.prometheus.query(
            "sum by (tracer_layer) (histogram_sum("
            f'tracer_layer_duration_seconds{{job="{name}", http_route="{route}"}}))'
        )
        told = {labels["tracer_layer"]: value for labels, value in found}
        wanted = +world.layers(name, route=route)
        assert told.keys() == wanted.keys()
        for layer, ns in wanted.items():
            assert told[layer] == pytest.approx(ns * ONE_NS, abs=0.4 * ONE_NS)


@pytest.mark.parametrize("name", NAMES)
def test_quantiles_are_the_recordings_within_the_error_of_a_bucket(world, name):
    by_route = defaultdict(list)
    for one in world.recorded[name]:
        by_route[one["route"]].append(one["end_ns"] - one["start_ns"])
    for share in (0.5, 0.9):
        found = world.prometheus.query(
            f"histogram_quantile({share}, sum by (http_route) ("
            f'http_server_request_duration_seconds{{job="{name}"}}))'
        )
        told = {labels["http_route"]: value for labels, value in found}
        assert told.keys() == by_route.keys()
        for route, several in by_route.items():
            # Between two requests both are right.
            low = sorted(several)[math.ceil(share * len(several)) - 1] * ONE_NS
            high = sorted(several)[math.floor(share * len(several))] * ONE_NS
            assert low / BUCKET <= told[route] <= high * BUCKET, route


@pytest.mark.parametrize("name", NAMES)
def test_requests_are_counted_by_the_conventions_of_http(world, name):
    found = world.prometheus.query(
        f'histogram_count(http_server_request_duration_seconds{{job="{name}"}})'
    )
    told = {
        (
            labels["http_request_method"],
            labels["http_route"],
            labels["http_response_status_code"],
            labels.get("error_type"),
        ): value
        for labels, value in found
    }
    assert told == Counter(
        (one["method"], one["route"], str(one["status"]), failure_of(one))
        for one in world.recorded[name]
    )
    (seen,) = world.prometheus.query(f'tracer_requests_seen_total{{job="{name}"}}')
    (recorded,) = world.prometheus.query(f'tracer_requests_recorded_total{{job="{name}"}}')
    (dropped,) = world.prometheus.query(f'tracer_timelines_dropped_total{{job="{name}"}}')
    assert (seen[1], recorded[1], dropped[1]) == (len(world.recorded[name]),) * 2 + (0,)


def test_histograms_are_native_ones(world):
    assert world.prometheus.query('{__name__=~".+_bucket"}') == []
    found = world.prometheus.query('{__name__=~"(http|tracer)_.+"}')
    native = {labels["__name__"] for labels, value in found if isinstance(value, dict)}
    assert len(native) == sum(one.spreads for one in INSTRUMENTS)


def failure_of(request):
    return request["error_type"] if request["outcome"] == "error" else None


@pytest.mark.parametrize("name", NAMES)
def test_handoffs_their_phases_and_threads_are_the_recordings(world, name):
    there = [
        hop
        for one in world.recorded[name]
        for hop in one["hops"]
        if hop["direction"] == "to_thread" and not hop["after_response"]
    ]
    metric = "histogram_sum(tracer_request_handoffs"
    assert total(world, f'{metric}{{job="{name}"}})') == len(there)
    threads = sum(one["threads_started"] for one in world.recorded[name])
    assert total(world, f'tracer_threads_started_total{{job="{name}"}}') == threads
    for metric, phase in (
        ("tracer_handoff_wake_duration_seconds", "wake"),
        ("tracer_handoff_queue_duration_seconds", "queue"),
        ("tracer_event_loop_lag_seconds", "return"),
    ):
        seen = [hop["phases"][phase] for hop in there if hop["phases"][phase] is not None]
        series = f'{metric}{{job="{name}"}}'
        assert total(world, f"histogram_count({series})") == len(seen)
        assert total(world, f"histogram_sum({series})") == pytest.approx(sum(seen) * ONE_NS)
    found = world.prometheus.query(f'tracer_handoffs_total{{job="{name}"}}')
    assert {
        (labels["tracer_handoff_site"], labels["tracer_after_response"] == "true"): value
        for labels, value in found
    } == Counter(
        (hop["site"], hop["after_response"]) for one in world.recorded[name] for hop in one["hops"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_time_of_handoffs_and_of_the_loop_adds_up_to_their_layers(world, name):
    layers = world.layers(name)
    found = world.prometheus.query(f'tracer_handoff_time_seconds_total{{job="{name}"}}')
    assert sum(value for _, value in found) == pytest.approx(layers["handoff"] * ONE_NS)
    phases = {labels.get("tracer_handoff_phase") for labels, _ in found}
    found = world.prometheus.query(f'tracer_event_loop_time_seconds_total{{job="{name}"}}')
    assert sum(value for _, value in found) == pytest.approx(layers["event_loop"] * ONE_NS)
    if name == "gunicorn-uvicorn":
        assert phases == set(HOP_PHASES) - {"run"}
        assert "demo_site.views.loop.block" in {
            labels["tracer_event_loop_culprit"] for labels, _ in found
        }


def total(world, expression):
    return sum(value for _, value in world.prometheus.query(expression))


def test_exemplars_lead_to_traces_that_jaeger_has(world):
    roots = {one["trace_id"]: one for several in world.recorded.values() for one in several}
    spans = {}
    for metric in ("http_server_request_duration_seconds", "tracer_layer_duration_seconds"):
        found = world.prometheus.exemplars(metric, world.began, time.time() + 60)
        assert {labels["job"] for labels, _ in found} == set(NAMES)
        for labels, each in found:
            trace_id, span_id = each["labels"]["trace_id"], each["labels"]["span_id"]
            request = roots[trace_id]
            layer = labels.get("tracer_layer")
            ns = request["layers"][layer] if layer else request["end_ns"] - request["start_ns"]
            assert float(each["value"]) == pytest.approx(ns * ONE_NS)
            assert request["route"] == labels["http_route"]
            assert span_id == request["request_id"]
            if trace_id not in spans:
                spans[trace_id] = {one.span_id for one in world.jaeger.trace(trace_id)}
            assert span_id in spans[trace_id]


def searches():
    """Tags of the page's table, each as Jaeger is asked for it."""
    text = (ROOT / "dashboards" / "README.md").read_text(encoding="utf-8")
    return re.findall(r"`([\w.]+)=([^`]+)`", text)


@pytest.mark.parametrize(("tag", "value"), searches())
def test_a_search_of_the_page_finds_traces(world, tag, value):
    assert any(world.jaeger.search(name, {tag: value}) for name in NAMES)


def documented():
    """Metrics as docs/metrics.md tells them: name, unit, attributes."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (\w+) \| `(.+?)` \|(.*?)\| .+ \|$", text, re.MULTILINE)
    return {
        name: (kind, unit, set(re.findall(r"`([\w.]+)`", attributes)))
        for name, kind, unit, attributes in rows
    }


def test_the_page_tells_every_metric_its_unit_and_its_attributes(world):
    told = documented()
    assert {name: (kind, unit) for name, (kind, unit, _) in told.items()} == {
        one.name: ("histogram" if one.spreads else "counter", one.unit) for one in INSTRUMENTS
    }
    for name, (kind, unit, attributes) in told.items():
        metric = name.replace(".", "_") + ("_seconds" if unit == "s" else "")
        found = world.prometheus.query(metric + ("_total" if kind == "counter" else ""))
        seen = {label for labels, _ in found for label in labels}
        assert seen - {"__name__", "job", "instance"} == {
            one.replace(".", "_") for one in attributes
        }, name


def expressions():
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel["targets"]:
                legend = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
                yield pytest.param(
                    target["expr"], legend, id=f"{path.stem}: {panel['title']} {target['refId']}"
                )


@pytest.mark.parametrize(("expression", "legend"), list(expressions()))
def test_every_expression_of_every_dashboard_returns_series(world, expression, legend):
    for variable, text in (
        ("$__rate_interval", "1m"),
        ("$__range", "5m"),
        ("$service", ".*"),
        ("$route", ".*"),
    ):
        expression = expression.replace(variable, text)
    assert "$" not in expression
    found = world.prometheus.query(expression)
    assert found
    assert all(isinstance(value, dict) or math.isfinite(value) for _, value in found)
    # Where one of several is empty, PromQL has no label at all.
    assert set(legend) <= {label for labels, _ in found for label in labels}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_variable_of_a_dashboard_has_values(world, path):
    board = json.loads(path.read_text(encoding="utf-8"))
    for one in board["templating"]["list"]:
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", one["definition"]).groups()
        assert one["query"]["query"] == one["definition"]
        found = world.prometheus.query(series.replace("$service", ".*"))
        assert any(label in labels for labels, _ in found)
