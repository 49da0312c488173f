"""What a request awaits, hands off and starts beside itself, under ASGI."""

from __future__ import annotations

import statistics
import sys

import pytest

from tests.support.invariants import assert_tiles, length
from tests.support.server import ASGI
from tests.truth.runs import assert_owned, tolerance, total, whole, within
from tests.truth.sending import TIMES

pytestmark = pytest.mark.alone

HERE = "tests.truth.site.loop_views"
MS = 1_000_000


@pytest.fixture(params=ASGI, scope="module")
def run(request, run_of):
    return run_of(request.param, "none", "loop")


def view(name, **more):
    return {"layer": "view", "detail": f"{HERE}.{name}", **more}


def waited(record, name):
    return total(record["segments"], **view(name, state="wait"))


def hops_of(record, *, after=False):
    return [hop for hop in record["hops"] if hop["after_response"] is after]


def named(record, text):
    """The hand-offs whose site says what ran."""
    return [hop for hop in record["hops"] if hop["site"].endswith(text)]


def assert_slept(record, slept, name, delay_ns=4 * MS):
    """A timer is the view's until it was due, then the loop's."""
    ns = within(record["segments"], slept.start_ns, slept.end_ns, **view(name))
    late = within(record["segments"], slept.start_ns, slept.end_ns, layer="event_loop")
    assert ns + late >= slept.ns - 10_000
    assert late <= max(slept.ns - delay_ns, 0) + 300_000


def beside(record):
    """What ran beside the main track, collections in callbacks of nobody's left out."""
    return sum(length(s) for s in record["overlapped"] if s["state"] == "run" and s["part"] != "gc")


def test_every_request_is_recorded_and_tiles(run):
    sent = [answer for answers in run.answers.values() for answer in answers]
    known = {record["trace_id"] for record in run.records}
    assert {answer.trace_id for answer in sent} <= known
    for record in run.records:
        assert_tiles(record)
        assert record["layers"]["unattributed"] == 0


@pytest.mark.timing
def test_a_sleep_is_the_views_until_it_was_due(run):
    """Its delay, or what it took where uvloop's timer fired early; all later is the loop's."""
    off = []
    early = 0
    for record in run.of("sleep"):
        (note,) = run.noted(record, "sleep")
        early = MS if record["loop"] == "uvloop" else 0
        expected = min(8 * MS, note.ns)
        off.append(waited(record, "sleep") - expected)
        late = within(
            record["segments"], note.start_ns, note.end_ns, layer="event_loop", state="wait"
        )
        ran = within(record["segments"], note.start_ns, note.end_ns, **view("sleep", state="run"))
        assert late + ran >= note.ns - expected - 10_000
    assert -tolerance(8 * MS) - early <= statistics.median(off) <= tolerance(8 * MS), off


@pytest.mark.timing
def test_an_overslept_timer_is_called_so(run):
    """An idle loop oversleeps: asyncio by up to 1 ms, by its selector's resolution."""
    overslept = [
        record for record in run.of("sleep") if run.noted(record, "sleep")[0].ns - 8 * MS > 100_000
    ]
    named = [
        total(record["segments"], layer="event_loop", detail="timer granularity")
        for record in overslept
    ]
    assert not overslept or any(named)


@pytest.mark.timing
@pytest.mark.parametrize("scenario", ["lock", "executor", "to_thread"])
def test_other_waits_are_the_views_until_completed(run, scenario):
    """What threads other than asgiref's do is waited for by the view, and is no hand-off."""
    off = []
    for record in run.of(scenario):
        (note,) = run.noted(record, scenario)
        ns = within(record["segments"], note.start_ns, note.end_ns, **view(scenario, state="wait"))
        late = within(record["segments"], note.start_ns, note.end_ns, layer="event_loop")
        off.append(note.ns - ns - late)
        assert not named(record, "spend_now")
    assert statistics.median(off) <= tolerance(8 * MS), off


@pytest.mark.timing
@pytest.mark.parametrize("scenario", ["hop", "sensitive hop"])
def test_the_run_of_a_hop_is_whose_function_it_is(run, scenario):
    excess = []
    for record in run.of(scenario):
        (note,) = run.noted(record, "hop")
        assert_owned(record["segments"], note, **view("hop", state="run", thread=note.thread))
        (hop,) = named(record, "spend_now")
        assert hop["site"] == f"{HERE}:hop → tests.truth.site.cost.spend_now"
        assert hop["direction"] == "to_thread"
        assert not hop["overlapped"]
        excess.append(hop["phases"]["run"] - note.ns)
    assert 0 <= min(excess) <= tolerance(4 * MS) + 50_000, excess


@pytest.mark.timing
def test_custom_executor(run):
    for record in run.of("custom_executor"):
        (note,) = run.noted(record, "custom")
        assert_owned(
            record["segments"], note, **view("custom_executor", state="run", thread=note.thread)
        )


@pytest.mark.timing
@pytest.mark.parametrize("scenario", ["gather", "sensitive gather"])
def test_two_hand_offs_at_once_are_beside_and_waited_for(run, scenario):
    for record in run.of(scenario):
        (note,) = run.noted(record, "gather")
        late = within(record["segments"], note.start_ns, note.end_ns, layer="event_loop")
        ns = within(record["segments"], note.start_ns, note.end_ns, **view("gather", state="wait"))
        one, two = named(record, "spend_now")
        assert one["overlapped"]
        assert two["overlapped"]
        for label in ("gather.one", "gather.two"):
            (half,) = run.noted(record, label)
            assert_owned(record["overlapped"], half, **view("gather", state="run"))
        own = within(record["segments"], note.start_ns, note.end_ns, **view("gather", state="run"))
        assert note.ns - ns - late - own <= tolerance(note.ns)
        assert ns >= 7 * MS or scenario == "sensitive gather"


@pytest.mark.timing
@pytest.mark.parametrize(
    "way", ["task", "wait_for", "wait", "shield", "gather", "timeout", "group"]
)
def test_a_task_that_is_awaited_tiles(run, way):
    for record in run.of(f"tasks {way}"):
        (note,) = run.noted(record, "task")
        assert_owned(record["segments"], note, **view("tasks", state="run", thread=note.thread))
        (slept,) = run.noted(record, "task.sleep")
        assert_slept(record, slept, "tasks")
        assert beside(record) < 50_000, record["overlapped"]


@pytest.mark.timing
@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_eager_task_tiles_where_it_runs(run):
    if run.name != "uvicorn-h11-asyncio" and sys.version_info[:2] == (3, 13):
        pytest.skip("uvloop gives Python 3.13's eager factory what it doesn't take, traced or not")
    for record in run.of("eager"):
        (note,) = run.noted(record, "task")
        assert_owned(record["segments"], note, **view("eager", state="run", thread=note.thread))
        (slept,) = run.noted(record, "task.sleep")
        assert_slept(record, slept, "eager")
        assert beside(record) < 50_000


@pytest.mark.timing
def test_a_task_beside_is_overlapped(run):
    for record in run.of("background"):
        (note,) = run.noted(record, "main")
        (other,) = run.noted(record, "beside")
        assert_owned(record["overlapped"], other, **view("background", state="run"))
        assert_slept(record, note, "background", 8 * MS)


@pytest.mark.timing
def test_a_task_that_is_cancelled_is_waited_for_until_then(run):
    for record in run.of("cancels"):
        assert (record["status"], record["outcome"]) == (200, "complete")
        (note,) = run.noted(record, "cancels")
        assert_owned(record["segments"], note, **view("cancels", state="run"))


def test_a_timer_that_is_never_due_is_no_trouble(run):
    for record in run.of("forever"):
        assert (record["status"], record["outcome"]) == (200, "complete")


def test_hand_offs_three_deep(run):
    for record in run.of("nested"):
        for label in ("outer", "middle", "inner"):
            (note,) = run.noted(record, label)
            assert_owned(
                record["segments"], note, **view("nested", state="run", thread=note.thread)
            )
        (outer,) = named(record, "nested.<locals>.outer")
        (middle,) = [hop for hop in record["hops"] if hop["direction"] == "to_loop"]
        (inner,) = named(record, "nested.<locals>.inner")
        hops = record["hops"]
        assert hops[inner["parent"]] == middle
        assert hops[middle["parent"]] == outer
        assert outer["parent"] is None
        assert outer["phases"]["run"] > middle["phases"]["run"] > inner["phases"]["run"] > 2 * MS
        assert not any(hop["overlapped"] for hop in (outer, middle, inner))
        assert total(record["segments"], **view("nested", state="wait")) < 100_000


@pytest.mark.timing
def test_upload_in_two_pieces(run):
    for record, answer in zip(
        run.of("loop upload in two"), run.answers["loop upload in two"], strict=True
    ):
        assert answer.status == 200
        body = {"layer": "server", "detail": "body", "state": "wait"}
        before = within(record["segments"], answer.sent_ns - 10 * MS, answer.sent_ns, **body)
        assert before == 10 * MS


@pytest.mark.parametrize("scenario", ["leaves stream", "leaves view"])
def test_a_client_that_leaves(run, scenario):
    for record in run.of(scenario):
        assert record["outcome"] == "disconnected", record["error_type"]
        assert record["end_ns"] - record["start_ns"] < 1000 * MS


@pytest.mark.timing
def test_what_a_cancelled_view_does_is_its_own(run):
    for record in run.of("leaves view"):
        (note,) = run.noted(record, "cancelled")
        assert_owned(whole(record), note, **view("patient", state="run"))


@pytest.mark.timing
def test_a_pipelined_request_begins_when_the_server_begins_it(run):
    one, two, three = run.of("pipelined")
    assert one["connection"] == two["connection"] == three["connection"]
    assert one["end_ns"] <= two["start_ns"] < two["end_ns"] <= three["start_ns"]
    assert three["end_ns"] - three["start_ns"] < 20 * MS
    assert [record["status"] for record in (one, two, three)] == [200, 200, 200]


def test_each_scenario_was_asked_often_enough_for_a_median(run):
    assert len(run.of("sleep")) == TIMES
