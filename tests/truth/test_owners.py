"""Costs in every middleware phase, view, DRF phase, part and stream: the right owner has them."""

from __future__ import annotations

import pytest

from tests.support.invariants import assert_tiles
from tests.support.server import NAMES, SERVERS
from tests.truth.runs import assert_no_more, assert_owned, total, whole, within
from tests.truth.sending import EXCEPTIONS, PHASES, TIMES

pytestmark = pytest.mark.alone

HERE = "tests.truth.site"
HOW = ("spin", "sleep")


def middleware(label):
    name, _, phase = label.partition(".")
    return {
        "layer": "middleware",
        "detail": f"{HERE}.middleware.{name}",
        "part": "stream" if phase == "stream" else None,
        "phase": phase if phase.startswith("process_") else None,
    }


def view(name, part=None):
    return {"layer": "view", "detail": f"{HERE}.{name}", "part": part, "phase": None}


def handler(detail):
    return {"layer": "handler", "detail": detail}


FUNCTION = "views.function"
PARTS = {
    "function": view(FUNCTION),
    "query": view(FUNCTION, "query"),
    "tag": view(FUNCTION, "template"),
    "cache": view(FUNCTION, "cache"),
    "lazy": view(FUNCTION, "lazy"),
    "close": {"layer": "handler"},
    "started": handler(f"{HERE}.parts.started"),
    "finished": handler(f"{HERE}.parts.finished"),
}
TEMPLATE = {
    "template.view": view("views.template"),
    "render": view("views.template", "render"),
    "tag": view("views.template", "template"),
}
REST = {
    part: view("views.Rest", part)
    for part in ("authentication", "permission", "throttle", "handler", "render")
}


@pytest.fixture(params=SERVERS, scope="module")
def run(request, run_of):
    return run_of(request.param, "all", "owners", "plain")


def test_every_request_is_recorded_and_tiles(run):
    sent = [answer for answers in run.answers.values() for answer in answers]
    known = {record["trace_id"] for record in run.records}
    assert {answer.trace_id for answer in sent if answer.trace_id} <= known
    for record in run.records:
        assert_tiles(record)
        assert (record["server"], record["loop"], record["http"]) == NAMES[run.name]
        assert record["interface"] == run.interface
        assert record["seams_absent"] == []


def check(run, scenario, owners, *, only=None):
    """Each cost is its owner's where it was spent.

    `only`: and what these have beyond it is what they have when nothing is spent.
    """
    for record in run.of(scenario):
        for label, owner in owners.items():
            notes = run.noted(record, label)
            assert notes, label
            for note in notes:
                assert_owned(whole(record), note, **owner)
    for label, owner in (only or {}).items():
        same = [other for other, one in owners.items() if one == owner]
        own = min(
            total(whole(record), **owner)
            for record in run.of(f"{scenario.rpartition(' ')[0]} none")
        )
        pairs = [
            (
                total(whole(record), **owner),
                [note for other in same for note in run.noted(record, other)],
            )
            for record in run.of(scenario)
        ]
        assert_no_more(pairs, own, label, slept=scenario.endswith("sleep"))


@pytest.mark.timing
@pytest.mark.parametrize("how", HOW)
def test_middleware_phases(run, how):
    owners = {label: middleware(label) for label in PHASES}
    check(run, f"phases {how}", {**owners, **TEMPLATE}, only=owners)


@pytest.mark.timing
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("where", ["", "loop "])
def test_exceptions(run, how, where):
    owners = {label: middleware(label) for label in EXCEPTIONS}
    name = "loop_views.unhandled" if where else "views.unhandled"
    owners["unhandled"] = view(name)
    check(run, f"{where}exceptions {how}", owners, only=owners)
    for record in run.of(f"{where}exceptions {how}"):
        assert (record["status"], record["outcome"]) == (500, "error")
        assert record["error_type"] == "ZeroDivisionError"


@pytest.mark.timing
@pytest.mark.parametrize("how", HOW)
def test_parts_of_a_view(run, how):
    check(run, f"parts {how}", PARTS, only={"cache": PARTS["cache"]})


@pytest.mark.timing
@pytest.mark.parametrize("how", HOW)
def test_work_after_the_response_is_outside_the_window(run, how):
    for record in run.of(f"parts {how}"):
        for label in ("close", "finished"):
            (note,) = run.noted(record, label)
            assert note.start_ns >= record["end_ns"]
            assert_owned(record["after_response"], note, layer="handler")


@pytest.mark.timing
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("scenario", "name"), [("class", "views.Class"), ("native", "loop_views.native")]
)
def test_views(run, how, scenario, name):
    owners = {scenario: view(name)}
    check(run, f"{scenario} {how}", owners, only=owners)
    for record in run.of(f"{scenario} {how}"):
        assert record["route"] == {"class": "class/", "native": "loop/native/"}[scenario]


@pytest.mark.timing
@pytest.mark.parametrize("how", HOW)
def test_rest_framework(run, how):
    check(run, f"rest {how}", REST, only={"throttle": REST["throttle"]})


@pytest.mark.timing
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("scenario", "name"), [("stream", "views.stream"), ("loop stream", "loop_views.stream")]
)
def test_streams(run, how, scenario, name):
    """Under WSGI an async stream is read in a thread of its own by Django, beside ours."""
    owners = {
        "stream": view(name, "stream"),
        "StreamWrapper.stream": middleware("StreamWrapper.stream"),
    }
    check(run, f"{scenario} {how}", owners)
    for record in run.of(f"{scenario} {how}"):
        for label in owners:
            assert len(run.noted(record, label)) == 3


@pytest.mark.timing
def test_gzip_around_a_stream_is_the_middlewares(run):
    """Compressing 3 MB that don't shrink takes long; who makes them takes what it noted."""
    for record in run.of("gzip"):
        packed = total(
            whole(record),
            layer="middleware",
            detail="django.middleware.gzip.GZipMiddleware",
            part="stream",
        )
        assert packed > 10_000_000
        notes = run.noted(record, "bulk")
        assert len(notes) == 3
        for note in notes:
            assert_owned(whole(record), note, **view("views.bulk", "stream"))


@pytest.mark.timing
def test_a_sync_middleware_above_an_async_view_hands_over_and_back(run):
    """Under ASGI there and back; under WSGI an async view is reached through a loop."""
    for record in run.of("native none"):
        hops = record["hops"]
        back = [hop for hop in hops if hop["direction"] == "to_loop"]
        assert back
        assert not any(hop["overlapped"] for hop in hops)
        if run.interface == "asgi":
            assert {hops[hop["parent"]]["direction"] for hop in back} == {"to_thread"}


@pytest.mark.timing
def test_a_collection_is_a_part_of_whoever_allocates(run):
    for record in run.of("collect"):
        (note,) = run.noted(record, "collect")
        assert note.ns > 1_000_000
        assert_owned(record["segments"], note, **view("views.collect", "gc"))


@pytest.mark.parametrize(
    ("scenario", "status", "error"),
    [
        ("handled", 200, f"{HERE}.middleware.HandledError"),
        ("missing", 404, "django.http.response.Http404"),
        ("no route", 404, "django.urls.exceptions.Resolver404"),
        ("empty", 204, None),
        ("head", 200, None),
        ("closing", 200, None),
        ("chunked", 200, None),
    ],
)
def test_outcomes(run, scenario, status, error):
    for record, answer in zip(run.of(scenario), run.answers[scenario], strict=True):
        assert record["status"] == answer.status == status
        assert record["outcome"] == "complete"
        assert record["error_type"] == error
        assert (record["route"] is None) == (scenario == "no route")
        assert answer.sent_ns < record["start_ns"] < record["end_ns"]
    late = [
        record["end_ns"] - answer.received_ns
        for record, answer in zip(run.of(scenario), run.answers[scenario], strict=True)
    ]
    assert min(late) < 1_000_000, "longer than a thread is kept waiting by its own client"


@pytest.mark.timing
def test_upload_in_two_pieces(run):
    """The client's pause is the server's, by name, also inside the view."""
    for record, answer in zip(run.of("upload in two"), run.answers["upload in two"], strict=True):
        assert answer.status == 200
        assert b'{"size": 1000}' in answer.body
        assert_waits_for_body(record, answer)
        if run.interface == "wsgi":
            (note,) = run.noted(record, "post")
            spans = (note.start_ns, note.end_ns)
            own = within(record["segments"], *spans, **view("views.upload"), state="run")
            waited = within(record["segments"], *spans, layer="server", detail="body", state="wait")
            assert own + waited == note.ns
            assert own < 3_000_000


def assert_waits_for_body(record, answer):
    """The second piece was sent at `sent_ns`, 30 ms after the first."""
    body = {"layer": "server", "detail": "body", "state": "wait"}
    before = within(record["segments"], answer.sent_ns - 10_000_000, answer.sent_ns, **body)
    assert before == 10_000_000
    assert total(record["segments"], **body) < 40_000_000


def test_client_that_leaves_in_the_middle(run):
    for record in run.of("leaves"):
        assert record["status"] == 200
        assert record["outcome"] == "disconnected"
        assert record["end_ns"] - record["start_ns"] < 1_500_000_000


def test_malformed_request(run):
    """The server answers by itself: a record of its own, and nobody else in it."""
    for answer in run.answers["malformed"]:
        assert answer.status == 400
        (record,) = [
            one for one in run.records if answer.sent_ns < one["start_ns"] < answer.received_ns
        ]
        assert (record["status"], record["outcome"]) == (400, "complete")
        assert {name for name, ns in record["layers"].items() if ns} == {"server"}
        assert record["hops"] == []


def test_each_scenario_was_asked_often_enough_for_a_median(run):
    assert len(run.of("phases spin")) == TIMES
