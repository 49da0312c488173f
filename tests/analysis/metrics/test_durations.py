"""Series stay bounded, whatever is asked for; examples are what they say."""

from __future__ import annotations

from types import SimpleNamespace

from tracer.analysis.attribution.request import Request
from tracer.analysis.attribution.worker import Worker
from tracer.analysis.metrics.durations import Answers
from tracer.analysis.metrics.instruments import LAYER, REQUEST, Bounds, measured
from tracer.analysis.metrics.labels import OVERFLOW, Names
from tracer.analysis.shapes.tally_builder import Row
from tracer.analysis.statistics.tally import Tallies
from tracer.model.layers import LAYERS
from tracer.model.nametable import OTHER

NAMES = ("GET", "asgi", "uvicorn", "complete", "demo.Oops", "error", "shop/<int:n>/", "cart/")
GET, ASGI, UVICORN, COMPLETE, OOPS, ERROR, SHOP, CART = range(1, len(NAMES) + 1)
WORKER = Worker({"pid": 1, "boot_id": "boot", "wall_offset_ns": 1_000}, NAMES)
WEIGHT = 10.0


def head(route=SHOP, status=200, outcome=COMPLETE, error_type=0):
    return SimpleNamespace(
        method=GET,
        route=route,
        status=status,
        outcome=outcome,
        error_type=error_type,
        interface=ASGI,
        server=UVICORN,
    )


def row(duration=1_000_000, request_id=7, layers=None, handoffs=3):
    spent = dict.fromkeys(LAYERS, 0) | (layers or {"view": duration})
    return Row(
        request_id, 9, None, 200, "complete", WEIGHT, 500, duration, 0, 5, 1, 0,
        tuple(spent.values()), handoffs,
    )  # fmt: skip


def add(answers, *pairs):
    rows, heads = zip(*pairs, strict=True)
    batch = SimpleNamespace(heads=heads, workers=[1] * len(heads))
    answers.add(rows, batch, {1: WORKER})


def test_requests_are_told_apart_as_http_conventions_have_it():
    answers = Answers(Names(10))
    failed = head(status=500, outcome=ERROR, error_type=OOPS)
    add(answers, (row(), head()), (row(), head()), (row(), failed), (row(), head(status=503)))
    found = {tuple(dict(labels).values()): one for labels, one in answers.series.items()}
    assert set(found) == {
        ("GET", "shop/<int:n>/", 200, "asgi", "uvicorn"),
        ("GET", "shop/<int:n>/", 500, "demo.Oops", "asgi", "uvicorn"),
        ("GET", "shop/<int:n>/", 503, "503", "asgi", "uvicorn"),
    }
    assert found["GET", "shop/<int:n>/", 200, "asgi", "uvicorn"].durations[WEIGHT].count == 2


def test_routes_past_the_bound_share_one_name_for_good():
    answers = Answers(Names(1))
    add(answers, (row(), head(SHOP)), (row(), head(CART)), (row(), head(SHOP)))
    assert {dict(labels)["http.route"] for labels in answers.series} == {"shop/<int:n>/", OTHER}


def test_series_past_the_bound_share_one():
    answers = Answers(Names(10), most=2)
    add(answers, *((row(), head(status=status)) for status in (200, 201, 202, 203, 200)))
    assert len(answers.series) == 3
    assert answers.series[OVERFLOW].durations[WEIGHT].count == 2


def test_figures_are_weighted_and_examples_show_the_worst_of_a_layer_once():
    answers, tallies = Answers(Names(10)), Tallies()
    slow = row(4_000_000, request_id=8, layers={"view": 1_000_000, "handoff": 3_000_000})
    add(answers, (row(1_000_000), head()), (slow, head()))
    for each in (row(1_000_000), slow):
        tallies.add(request_of(each))
    bounds = Bounds(Names(10), Names(10), Names(10))
    found = measured(tallies, answers, bounds)
    (series,) = found[REQUEST]
    assert (series.value.count, series.value.total) == (20, 0.05)
    assert [one.span_id for one in series.examples] == [7, 8]
    layers = {dict(one.labels)["tracer.layer"]: one for one in found[LAYER]}
    assert layers["handoff"].value.total == 0.03
    (example,) = layers["handoff"].examples
    assert (example.value_ns, example.span_id) == (3_000_000, 8)
    assert example.unix_ns == 500 + 4_000_000 + WORKER.wall_offset_ns
    answers.forget_examples()
    assert not any(one.examples for one in measured(tallies, answers, bounds)[LAYER])


def request_of(one):
    fields = dict.fromkeys(Request.__slots__)
    fields |= dict.fromkeys(("segments", "hops", "after_response", "overlapped"), ())
    fields |= {
        "outcome": "complete",
        "route": "shop/<int:n>/",
        "interface": "asgi",
        "server": "uvicorn",
        "weight": one.weight,
        "status": one.status,
        "weight_known": True,
        "start_ns": one.start_ns,
        "end_ns": one.start_ns + one.duration_ns,
        "layers": dict(zip(LAYERS, one.layers, strict=True)),
        "connections_opened": 0,
        "threads_started": 0,
        "threads_started_after_response": 0,
        "after_response_ns": 0,
    }
    return Request(**fields)
