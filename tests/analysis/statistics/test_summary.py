from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import builders
from tracer.analysis.documents import report_document
from tracer.analysis.statistics import figures
from tracer.analysis.statistics.measurement import Round
from tracer.analysis.statistics.quantile import quantile_of
from tracer.analysis.statistics.summary import layers_of, median_request, summarise
from tracer.analysis.statistics.tally import tally
from tracer.model.layers import HOP_PHASES, LAYERS

WEIGHTS = st.one_of(st.integers(1, 50).map(float), st.floats(1, 50))
BREAKDOWNS = st.lists(
    st.tuples(st.lists(st.integers(0, 10**9), min_size=len(LAYERS), max_size=len(LAYERS)), WEIGHTS),
    max_size=8,
)


def requests_of(breakdowns):
    requests = []
    for parts, weight in breakdowns:
        building = builders.Building()
        for layer, ns in zip(LAYERS, parts, strict=True):
            building.spend(ns, layer)
        requests.append(building.done(weight=weight))
    return requests


def summary_of(requests, **fields):
    return summarise(builders.measurement([builders.one_round(requests, client=False)], **fields))


@given(BREAKDOWNS)
def test_layers_sum_to_the_mean_latency_and_shares_to_one(breakdowns):
    requests = requests_of(breakdowns)
    layers = layers_of(tally(requests))
    assert [one["layer"] for one in layers] == list(LAYERS)
    weights = [request.weight for request in requests]
    mean = figures.mean([request.duration_ns for request in requests], weights)
    assert abs(sum(one["mean_ns"] for one in layers) - mean) <= 1
    assert all(isinstance(one["mean_ns"], int) and one["mean_ns"] >= 0 for one in layers)
    assert sum(one["share"] for one in layers) == pytest.approx(1 if mean else 0)


@settings(max_examples=30, deadline=None)
@given(BREAKDOWNS.filter(bool))
def test_the_mean_latency_is_what_the_layers_explain(breakdowns):
    summary = summary_of(requests_of(breakdowns))
    explained = sum(one["mean_ns"] for one in summary["layers"])
    assert abs(summary["latency_ns"]["mean"] - explained) <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**10), st.integers(1, 20)), min_size=1, max_size=20))
def test_a_weight_counts_like_as_many_requests(weighted):
    values = [value for value, _ in weighted]
    repeated = [value for value, times in weighted for _ in range(times)]
    assert figures.latency(values, [float(times) for _, times in weighted]) == figures.latency(
        repeated
    )


@given(
    st.lists(st.floats(0, 10**6), min_size=1, max_size=20),
    st.lists(st.floats(0.1, 10), min_size=20, max_size=20),
)
def test_a_quantile_is_a_value_that_was_seen(values, weights):
    found = quantile_of(sorted(zip(values, weights, strict=False)), 0.5)
    assert found in values


@given(st.lists(st.floats(0, 10**9), max_size=12))
def test_apportioned_parts_sum_to_the_whole(parts):
    whole = figures.apportion(parts, round(sum(parts)))
    assert not parts or sum(whole) == round(sum(parts))
    assert all(abs(one - part) <= 1 for one, part in zip(whole, parts, strict=True))


def test_percentiles_are_right_to_three_digits():
    found = figures.latency(list(range(1_000_000, 2_000_000, 1_000)))
    assert found["p50"] == pytest.approx(1_500_000, rel=2e-3)
    assert found["p99"] == pytest.approx(1_990_000, rel=2e-3)
    assert found["mean"] == 1_499_500


def test_nothing_measured_is_zeros_and_nulls_not_an_error():
    summary = summarise(builders.measurement([]))
    assert summary["requests"] == summary["errors"] == 0
    assert summary["latency_ns"] == {"mean": 0, "p50": 0, "p90": 0, "p99": 0}
    assert summary["untraced_latency_ns"] is None
    assert summary["network_floor_ns"] is None
    assert {one["mean_ns"] for one in summary["layers"]} == {0}
    assert {one["share"] for one in summary["layers"]} == {0.0}
    assert summary["details"] == summary["handoffs"]["sites"] == []


def test_the_clients_latencies_come_before_the_windows():
    requests = [builders.wsgi_request() for _ in range(3)]
    driven = Round(0, traced=True, requests=tuple(requests), latencies_ns=(5_000_000,) * 3)
    assert summarise(builders.measurement([driven]))["latency_ns"]["mean"] == 5_000_000
    mean = requests[0].duration_ns
    assert summary_of(requests)["latency_ns"]["mean"] == mean


def test_control_rounds_and_the_floor_have_their_own_figures():
    _, asgi = builders.pair(rounds=2, each=5)
    summary = summarise(asgi)
    assert summary["untraced_latency_ns"]["mean"] < summary["latency_ns"]["mean"]
    assert summary["tracing_moved_median"] == pytest.approx(1 / 0.98 - 1, abs=2e-3)
    assert summary["network_floor_ns"]["p50"] == pytest.approx(19_000, rel=0.01)
    assert summary["rounds"] == {"traced": 2, "control": 2}


def test_hand_offs_are_counted_by_direction_and_window():
    handoffs = summary_of([builders.asgi_request() for _ in range(4)])["handoffs"]
    assert handoffs["per_request"] == 8
    assert handoffs["to_loop_per_request"] == 0
    assert handoffs["after_response_per_request"] == 1
    assert handoffs["threads_started_per_request"] == 2
    assert [one["phase"] for one in handoffs["phases"]] == list(HOP_PHASES)
    sites = handoffs["sites"]
    assert sum(one["per_request"] for one in sites) == 8
    adapted = [one for one in sites if one["site"].startswith(builders.ADAPTER)]
    assert {(one["mean_ns"], one["wake_p50_ns"]) for one in adapted} == {(70_000, 30_000)}
    assert [one["thread_started_share"] for one in sites].count(1) == 1


def test_a_sites_cost_is_what_the_hand_off_layer_owns_of_it():
    summary = summary_of([builders.asgi_request(), builders.asgi_request(weight=3.0)])
    layer = next(one for one in summary["layers"] if one["layer"] == "handoff")
    assert sum(one["mean_ns"] for one in summary["handoffs"]["sites"]) == layer["mean_ns"]


def test_overlapped_hand_offs_count_and_a_missing_phase_does_not():
    building = builders.Building().spend(1_000, "view")
    building.hop("a:b", "c", 10, "view", None, overlapped=True, phases={"queue": 500})
    site = "a:b → d"
    building.hops.append(
        building._hop(site, building.now, {"wake": None, "run": 5}, False, {"direction": "to_loop"})
    )
    handoffs = summary_of([building.done()])["handoffs"]
    assert (handoffs["per_request"], handoffs["to_loop_per_request"]) == (1, 1)
    queue = next(one for one in handoffs["phases"] if one["phase"] == "queue")
    assert queue["mean_ns"] == queue["p99_ns"] == 500
    back = next(one for one in handoffs["sites"] if one["direction"] == "to_loop")
    assert back["wake_p50_ns"] is None


def test_weights_move_counts_and_means_but_not_the_number_recorded():
    light = builders.wsgi_request()
    heavy = builders.asgi_request(weight=3.0, connections_opened=1)
    summary = summary_of([light, heavy])
    assert summary["requests"] == 2
    assert summary["requests_weighted"] == 4.0
    assert summary["handoffs"]["per_request"] == 6.0
    assert summary["connections_opened_per_request"] == 0.75
    assert summary["latency_ns"]["mean"] == round((light.duration_ns + 3 * heavy.duration_ns) / 4)


def test_details_merge_what_one_owner_does_in_a_row():
    building = builders.Building()
    building.spend(10, "view", "v").spend(20, "view", "v", state="wait").spend(5, "server")
    building.spend(30, "view", "v", part="query").spend(40, "view", "v")
    details = {
        (one["layer"], one["part"]): (one["mean_ns"], one["per_request"])
        for one in summary_of([building.done()])["details"]
    }
    assert details["view", None] == (70, 2.0)
    assert details["view", "query"] == (30, 1.0)


def test_failed_requests_are_left_out_where_the_clients_latencies_leave_them_out():
    good = [builders.wsgi_request() for _ in range(4)]
    bad = builders.wsgi_request(50_000_000, status=500, outcome="error")
    latencies = tuple(request.duration_ns for request in good)
    one = Round(0, traced=True, requests=(*good, bad), latencies_ns=latencies, errors=1)
    summary = summarise(builders.measurement([one]))
    assert summary["requests"] == 5
    assert summary["errors"] == 1
    assert sum(entry["mean_ns"] for entry in summary["layers"]) == summary["latency_ns"]["mean"]
    assert summary["statuses"] == {"200": 4.0, "500": 1.0}


def test_without_our_client_errors_are_the_servers_own_count():
    requests = [builders.wsgi_request(), builders.wsgi_request(status=500, outcome="error")]
    summary = summary_of(requests)
    assert summary["errors"] == 1
    assert summary["latency_ns"]["mean"] == requests[0].duration_ns


def test_the_median_request_has_half_of_the_weight_below_it():
    requests = [builders.wsgi_request(extra) for extra in (30, 10, 20)]
    assert median_request(requests) is requests[2]
    heavy = [*requests, builders.wsgi_request(40, weight=5.0)]
    assert median_request(heavy) is heavy[-1]
    assert median_request([]) is None


def test_a_report_document_is_the_contracts_shape():
    _, asgi = builders.pair(rounds=1, each=3)
    document = report_document(asgi)
    assert document["schema"] == "tracer.report/1"
    assert set(document) == {"schema", "environment", "seams", "configurations", "findings"}
    assert document["seams"][0]["status"] == "installed"
    json.dumps(document, allow_nan=False)
