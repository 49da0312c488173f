from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import builders
from tracer.analysis.documents import compare_document
from tracer.analysis.statistics.bootstrap import Resamples, interval
from tracer.analysis.statistics.measurement import Round, SeamStatus


def noisy(name, level_ns, seed, *, rounds=5, each=15):
    """Return rounds whose level wanders from round to round, around a known one."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(rounds):
        level = level_ns + rng.normal(0, 20_000)
        requests = [
            builders.Building()
            .spend(max(1, round(level + rng.normal(0, 50_000))), "view", builders.VIEW)
            .done()
            for _ in range(each)
        ]
        made.append(builders.one_round(requests, number))
    return builders.measurement(made, name)


def test_the_same_measurements_give_the_same_intervals():
    pair = builders.pair(rounds=4, each=10)
    assert compare_document(pair)["comparison"] == compare_document(pair)["comparison"]


def test_a_comparison_is_the_contracts_shape():
    document = compare_document(builders.pair())
    assert document["schema"] == "tracer.comparison/1"
    found = document["comparison"]
    assert (found["a"], found["b"], found["metric"]) == ("wsgi", "asgi", "p50")
    a, b = (one["latency_ns"]["p50"] for one in document["configurations"])
    assert found["latency_ratio"]["value"] == b / a
    assert found["latency_delta_ns"]["value"] == b - a
    low, high = found["latency_ratio"]["ci95"]
    assert low <= found["latency_ratio"]["value"] * 1.001
    assert found["latency_ratio"]["value"] <= high * 1.001
    json.dumps(document, allow_nan=False)


def test_layer_differences_sum_to_the_difference_of_the_means():
    document = compare_document(builders.pair())
    found = document["comparison"]
    means = [sum(layer["mean_ns"] for layer in c["layers"]) for c in document["configurations"]]
    assert sum(one["delta_ns"] for one in found["layers"]) == means[1] - means[0]
    assert found["mean_latency_delta_ns"]["value"] == means[1] - means[0]
    assert sum(one["share_of_delta"] for one in found["layers"]) == pytest.approx(1)


def test_no_shares_where_the_difference_may_be_none():
    same = [noisy("a", 400_000, seed=1), noisy("b", 400_000, seed=2)]
    found = compare_document(same)["comparison"]
    low, high = found["mean_latency_delta_ns"]["ci95"]
    assert low < 0 < high
    assert {one["share_of_delta"] for one in found["layers"]} == {None}


def test_a_single_round_has_no_interval_and_no_shares():
    found = compare_document(builders.pair(rounds=1))["comparison"]
    assert found["latency_ratio"]["ci95"] is None
    assert found["latency_delta_ns"]["ci95"] is None
    assert {one["ci95"] for one in found["layers"]} == {None}
    assert {one["share_of_delta"] for one in found["layers"]} == {None}


@pytest.mark.parametrize("rounds", [2, 5])
def test_intervals_cover_the_truth_as_often_as_they_say(rounds):
    truth, covered, tries = 100_000, 0, 60
    for seed in range(tries):
        a = Resamples(noisy("a", 400_000, seed=2 * seed, rounds=rounds), 0)
        b = Resamples(noisy("b", 400_000 + truth, seed=2 * seed + 1, rounds=rounds), 1)
        delta = b.medians() - a.medians()
        low, high = interval(delta.mean(), delta, a.count, b.count)
        covered += low <= truth <= high
    assert covered >= 0.9 * tries


def test_rounds_are_drawn_not_requests():
    """A hundred requests that agree within rounds that don't are no certainty."""
    rounds = [
        builders.one_round([builders.wsgi_request(shift)] * 50, number)
        for number, shift in enumerate((0, 100_000, 200_000))
    ]
    wide = Resamples(builders.measurement(rounds), 0)
    low, high = interval(0, wide.medians(), wide.count, wide.count)
    assert high - low > 200_000


def test_weights_count_in_the_drawn_medians():
    light, heavy = builders.wsgi_request(), builders.wsgi_request(90_000, weight=5.0)
    rounds = [builders.one_round([light, light, heavy], n, client=False) for n in range(3)]
    assert set(Resamples(builders.measurement(rounds), 0).medians()) == {heavy.duration_ns}


def test_more_than_two_are_each_compared_with_the_first():
    wsgi, asgi = builders.pair(rounds=2, each=4)
    third = builders.measurement(asgi.rounds, "uvloop")
    pairs = compare_document([wsgi, asgi, third])["comparison"]
    assert [(one["a"], one["b"]) for one in pairs] == [("wsgi", "asgi"), ("wsgi", "uvloop")]


def test_one_configuration_has_nothing_to_be_compared_with():
    wsgi, _ = builders.pair(rounds=2, each=4)
    assert compare_document([wsgi])["comparison"] == []


def test_environments_are_shared_and_only_differences_are_told():
    wsgi, asgi = builders.pair(rounds=1, each=2)
    other = {**builders.ENVIRONMENT, "django": "5.2", "servers": {"uvicorn": "0.35"}}
    asgi = builders.measurement(asgi.rounds, "asgi", environment=other)
    document = compare_document([wsgi, asgi])
    assert document["environment"]["servers"] == {"gunicorn": "23.0.0", "uvicorn": "0.35"}
    assert [one["environment"] for one in document["configurations"]] == [{}, {"django": "5.2"}]


def test_a_seam_is_listed_once_for_each_status_with_who_has_it_so():
    wsgi, asgi = builders.pair(rounds=1, each=2)
    missing = SeamStatus("uvicorn:run_asgi", "absent", "uvicorn is not installed")
    wsgi = builders.measurement(wsgi.rounds, "wsgi", seams=(*wsgi.seams, missing))
    seams = compare_document([wsgi, asgi])["seams"]
    assert [one["configurations"] for one in seams] == [["wsgi", "asgi"], ["wsgi"]]


def test_findings_can_be_left_out():
    assert compare_document(builders.pair(rounds=1), include_findings=False)["findings"] == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**10), max_size=4), min_size=2, max_size=6))
def test_no_measurement_brings_a_number_that_json_cannot_hold(latencies):
    rounds = [
        Round(number, traced=number % 2 == 0, latencies_ns=tuple(found))
        for number, found in enumerate(latencies)
    ]
    measurements = [builders.measurement(rounds, "a"), builders.measurement(rounds[::-1], "b")]
    json.dumps(compare_document(measurements), allow_nan=False)
