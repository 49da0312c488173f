"""Which requests are armed, in this process and on its own threads."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time

import pytest

from tests.runtime.test_recorder import serve
from tracer.model import frames, stackframes
from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.timeline import LAST
from tracer.recording.memory import MemorySink
from tracer.runtime.recorder import Recorder
from tracer.runtime.stacks import capture as stacks
from tracer.runtime.stacks.arming import Arming
from tracer.settings.flame import HEADER, FlamePolicy

SECRET = "open sesame"  # noqa: S105 - a test's own


@pytest.fixture
def said():
    return []


@pytest.fixture
def recorder_of(said):
    def make(when="all", **fields):
        recorder = Recorder(MemorySink(), record_paths=True)
        policy = FlamePolicy(when, source=fields.pop("source", "exact"), **fields)
        recorder.arming = Arming(policy, said.append)
        return recorder

    return make


def taken(recorder):
    return [
        stackframes.decode(frame) for kind, frame in recorder.sink.frames if kind == frames.STACKS
    ]


def ask(recorder, path="/", headers=None, work=None, *, route=0):
    """Let a request come and go on this thread; `work` is called in its context."""
    timeline = recorder.open("wsgi", "gunicorn", now(), path, lambda: headers or {})
    token = CURRENT.set(timeline)
    try:
        if work is not None:
            work()
    finally:
        CURRENT.reset(token)
    timeline.route = route
    timeline.append((LAST, now(), 1, 0))
    recorder.close(timeline)
    return timeline


def called(found):
    return {name.split("\x1f")[1] for name in found.names}


def slow_enough():
    time.sleep(0.002)


def test_without_arming_there_are_no_stacks():
    recorder = Recorder(MemorySink())
    serve(recorder)
    assert taken(recorder) == []


@pytest.mark.parametrize("source", ["exact", "sampled"])
def test_what_a_request_calls_is_taken_and_nothing_is_left_behind(recorder_of, source):
    recorder = recorder_of(source=source)
    before = sys.getprofile()
    timeline = ask(recorder, work=slow_enough)
    (found,) = taken(recorder)
    assert "slow_enough" in called(found)
    assert "sleep" in called(found)
    assert (sys.getprofile(), threading.getprofile()) == (before, None)
    assert timeline.entered is None
    assert found.events > 0
    requests = recorder.sink.requests()
    assert [int(one.request_id, 16) for one in requests] == [found.request_id]


def test_what_runs_outside_the_context_is_not_taken(recorder_of):
    recorder = recorder_of()

    def stranger():
        token = CURRENT.set(None)
        slow_enough()
        CURRENT.reset(token)

    ask(recorder, work=stranger)
    (found,) = taken(recorder)
    assert "slow_enough" not in called(found)


def test_one_in_n(recorder_of):
    recorder = recorder_of("every", every=3)
    for _ in range(7):
        ask(recorder)
    assert len(taken(recorder)) == 2


def test_one_at_a_time(recorder_of):
    recorder = recorder_of()
    first = recorder.open("wsgi", "gunicorn", now(), "/", dict)
    ask(recorder)
    assert taken(recorder) == []
    recorder.close(first)
    assert len(taken(recorder)) == 1


def test_a_request_that_never_ends_is_let_go_of(recorder_of, monkeypatch):
    monkeypatch.setattr(stacks, "MOST_NS", 1_000_000)
    recorder = recorder_of()
    recorder.open("wsgi", "gunicorn", now(), "/", dict)
    time.sleep(0.002)
    ask(recorder)
    assert len(taken(recorder)) == 1
    assert sys.getprofile() is None


def test_the_header_wants_the_secret_and_comes_once_a_second(recorder_of, monkeypatch):
    recorder = recorder_of("header", secret=SECRET)
    ask(recorder)
    ask(recorder, headers={HEADER: "wrong"})
    ask(recorder, headers={HEADER: SECRET})
    assert taken(recorder) == [], "a wrong one was a second too near"
    recorder.arming._due_ns = 0
    ask(recorder, headers={HEADER: SECRET})
    ask(recorder, headers={HEADER: SECRET})
    assert len(taken(recorder)) == 1


def test_after_a_slow_request_the_next_of_its_route_is_armed(recorder_of):
    recorder = recorder_of("slower", slower_ns=1_000_000)
    route, other = recorder.name("shop/"), recorder.name("cart/")
    ask(recorder, "/shop/", route=route)
    ask(recorder, "/cart/", route=other)
    ask(recorder, "/shop/", route=route, work=slow_enough)
    ask(recorder, "/cart/", route=other)
    assert taken(recorder) == []
    ask(recorder, "/shop/", route=route)
    ask(recorder, "/shop/", route=route)
    assert len(taken(recorder)) == 1


def test_a_budget_is_kept(recorder_of):
    recorder = recorder_of(budget_ns=3_000_000)
    for _ in range(5):
        ask(recorder, work=slow_enough)
    assert 1 <= len(taken(recorder)) <= 2


def test_where_another_profiler_is_nothing_is_armed_and_it_stays(recorder_of, said):
    recorder = recorder_of(source="sampled")

    def other(*_event):
        return None

    sys.setprofile(other)
    try:
        ask(recorder)
        assert sys.getprofile() is other
    finally:
        sys.setprofile(None)
    assert taken(recorder) == []
    assert said == ["another profiler is at work"]


def test_what_is_too_much_is_cut_off(recorder_of, monkeypatch):
    monkeypatch.setattr(stacks, "MOST_STRETCHES", 10)
    monkeypatch.setattr(stacks, "THRESHOLD_NS", 0)
    recorder = recorder_of()
    ask(recorder, work=lambda: [slow_enough() for _ in range(20)])
    (found,) = taken(recorder)
    assert found.truncated
    assert len(found.stretches) < 30
    assert sys.getprofile() is None


def test_an_exact_call_shorter_than_the_threshold_is_its_callers(recorder_of):
    recorder = recorder_of()

    def tiny():
        return 1

    def many():
        end = time.perf_counter_ns() + 3_000_000
        while time.perf_counter_ns() < end:
            tiny()

    ask(recorder, work=many)
    (found,) = taken(recorder)
    by_name = {}
    for one in found.stretches:
        name = found.names[found.nodes[one.node][1]].split("\x1f")[1]
        by_name[name] = by_name.get(name, 0) + one.end_ns - one.start_ns
    calls = [one for one in found.stretches if one.end_ns - one.start_ns < stacks.THRESHOLD_NS]
    assert len(found.stretches) < 0.2 * found.events
    assert sum(one.end_ns - one.start_ns for one in calls) < 0.5 * sum(by_name.values())


def test_a_damaged_capture_breaks_no_request(recorder_of, monkeypatch):
    recorder = recorder_of()

    def failing(*_event):
        raise RuntimeError

    monkeypatch.setattr(stacks.Capture, "_walk", failing)
    ask(recorder, work=slow_enough)
    assert len(recorder.sink.requests()) == 1
    (found,) = taken(recorder)
    assert found.truncated
    assert sys.getprofile() is None


def test_nothing_is_armed_in_a_forked_child(recorder_of):
    recorder = recorder_of()
    recorder.open("wsgi", "gunicorn", now(), "/", dict)
    recorder.after_fork()
    assert sys.getprofile() is None
    ask(recorder)
    assert len(taken(recorder)) == 1


def test_what_is_asked_for_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FlamePolicy("all").when = "header"


@pytest.mark.parametrize(
    "broken", ["tracer.runtime.stacks.arming.encode", "tracer.runtime.stacks.arming.Arming._disarm"]
)
def test_stacks_that_cannot_be_made_cost_no_timeline(recorder_of, said, monkeypatch, broken):
    recorder = recorder_of()

    def fail(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(broken, fail)
        ask(recorder, work=slow_enough)
    recorder.arming._disarm()
    assert len(recorder.sink.requests()) == 1
    assert taken(recorder) == []
    assert said == ["ZeroDivisionError()"]
