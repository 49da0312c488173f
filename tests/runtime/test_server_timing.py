from __future__ import annotations

import threading

import pytest

from tracer.model.clock import now
from tracer.model.timeline import ENTER, EXIT, ROOT, STEP
from tracer.recording.memory import MemorySink
from tracer.runtime import identity, server_timing
from tracer.runtime.live_context import identity_of
from tracer.runtime.recorder import Recorder
from tracer.runtime.server_timing import ServerTiming
from tracer.settings.sampling import Policy

HERE = threading.get_ident()
CALLER = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


@pytest.fixture
def sink():
    return MemorySink()


@pytest.fixture
def recorder(sink):
    return Recorder(sink)


def begun(recorder, scopes=1, headers=None):
    """A request that has been in a view so many times."""
    timeline = recorder.open("wsgi", "gunicorn", now(), "/", lambda: headers or {})
    timeline.append((STEP, timeline.start_ns, HERE, ROOT))
    view = recorder.owner("view", "shop.detail")
    for _ in range(scopes):
        timeline.append((ENTER, now(), HERE, view))
        timeline.append((EXIT, now(), HERE, view))
    return timeline


def ids_in(value):
    _, trace_id, request_id, _ = value.partition("traceparent;desc=")[2].strip('"').split("-")
    return int(request_id, 16), int(trace_id, 16)


def test_layers_sum_to_the_time_so_far(recorder):
    timeline = begun(recorder)
    before = now()
    value = ServerTiming(recorder).value(timeline)
    durations = [float(one.split("dur=")[1]) for one in value.split(", ")[:-1]]
    assert value.startswith("server;dur=")
    assert "view;dur=" in value
    spent = (before - timeline.start_ns) / 1e6
    assert sum(durations) >= spent - 0.001 * len(durations)


def test_who_held_the_loop_is_looked_up_and_still_handed_over(recorder, sink):
    timeline = begun(recorder)
    recorder.occupy(timeline.start_ns - 100_000, timeline.start_ns, None, recorder.name("other"))
    ServerTiming(recorder).value(timeline)
    assert [entry.name for entry in recorder.recent_occupancy()] == [recorder.name("other")]
    recorder.close(timeline)
    assert recorder.recent_occupancy() == []


def test_what_was_told_before_the_end_is_what_is_recorded(recorder, sink):
    timeline = begun(recorder, headers=CALLER)
    told = ids_in(ServerTiming(recorder).value(timeline))
    assert told[1] == int("a" * 32, 16)
    again = ids_in(ServerTiming(recorder).value(timeline))
    assert again == told
    recorder.close(timeline)
    (request,) = sink.requests()
    assert (int(request.request_id, 16), int(request.trace_id, 16)) == told
    assert request.parent_span_id == "b" * 16


def test_an_opentelemetry_that_comes_later_keeps_to_it(recorder):
    timeline = begun(recorder)
    told = ids_in(ServerTiming(recorder).value(timeline))
    assert identity_of(timeline).ids[:2] == told
    assert identity.identify(timeline)[:2] == told


def test_a_request_of_very_many_marks_is_not_waited_for(recorder):
    value = ServerTiming(recorder).value(begun(recorder, scopes=server_timing._MOST))
    assert value.startswith("total;dur=")
    assert "view" not in value
    assert "traceparent" in value


def test_a_request_that_only_its_end_can_have_recorded_has_none(sink):
    recorder = Recorder(sink, policy=Policy(rate=0.0, keep_errors=True))
    assert ServerTiming(recorder).value(begun(recorder)) is None
    assert ServerTiming(recorder).value(None) is None


def test_a_failure_harms_no_response(recorder, monkeypatch):
    timing = ServerTiming(recorder)
    monkeypatch.setattr(timing, "_attribution", None)
    timeline = begun(recorder)
    assert timing.value(timeline) is None
    sent = []
    start = {"type": "http.response.start", "status": 200, "headers": []}
    timing.sending(timeline, sent.append)(start)
    assert sent == [start]


@pytest.mark.parametrize("kind", ["http.response.body", "http.response.trailers"])
def test_other_messages_pass_as_they_are(recorder, kind):
    sent, message = [], {"type": kind}
    ServerTiming(recorder).sending(begun(recorder), sent.append)(message)
    assert sent[0] is message
