from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from tests.support.timelines import check_tiling
from tracer.model import frames
from tracer.model.clock import now
from tracer.model.native import native
from tracer.model.timeline import DONE, ENTER, EXIT, LAST, ROOT, STEP
from tracer.recording.memory import MemorySink
from tracer.runtime import recorder as module
from tracer.runtime.recorder import Recorder

HERE = threading.get_ident()


@pytest.fixture
def sink():
    return MemorySink()


@pytest.fixture
def recorder(sink):
    return Recorder(sink)


def serve(recorder, marks=(), **fields):
    """Let a request of some marks come and go."""
    timeline = recorder.open("wsgi", "gunicorn", now())
    for name, value in fields.items():
        setattr(timeline, name, value)
    timeline.append((STEP, timeline.start_ns, HERE, ROOT))
    for mark in marks:
        timeline.append(mark)
    timeline.append((LAST, now(), HERE, 0))
    timeline.append((DONE, now(), HERE, ROOT))
    recorder.close(timeline)
    return timeline


def busy_of(sink):
    return [
        entry
        for kind, frame in sink.frames
        if kind == frames.OCCUPANCY
        for entry in frames.decode_occupancy(frame)
    ]


def test_a_request_comes_out_of_the_sink_attributed(recorder, sink):
    serve(recorder, method=recorder.name("GET"), status=200, connection=3)
    (request,) = sink.requests()
    check_tiling(request)
    assert (request.method, request.status, request.server) == ("GET", 200, "gunicorn")
    assert request.connection == "0-3"


def test_names_are_given_out_once_and_sent_before_they_are_used(recorder, sink):
    assert recorder.name("a") == recorder.name("a") == 1
    assert recorder.owner("view", "b") == recorder.owner("view", "b") == 2
    serve(recorder)
    serve(recorder)
    assert sink.names[:2] == ["a", "view\x1fb\x1f\x1f"]
    assert len(sink.names) == len(set(sink.names))


def test_names_given_out_by_several_threads_are_unique(recorder):
    texts = [str(number % 50) for number in range(2_000)]
    found = []

    def ask():
        found.append({text: recorder.name(text) for text in texts})

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert all(one == found[0] for one in found)
    assert sorted(found[0].values()) == list(range(1, 51))


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", True),
        (f"cc-{'a' * 32}-{'b' * 16}-01-more", True),
        (f"00-{'0' * 32}-{'b' * 16}-01", False),
        (f"00-{'a' * 32}-{'b' * 16}-01-more", False),
        (f"ff-{'a' * 32}-{'b' * 16}-01", False),
        (f"00-{'A' * 32}-{'b' * 16}-01", False),
        (f"00-0x{'a' * 30}-{'b' * 16}-01", False),
        (f"00-{'a' * 31}_-{'b' * 16}-01", False),
        (f"00-{'a' * 32}-{'b' * 15}--01", False),
        (f"00-{'a' * 31}-{'b' * 17}-01", False),
        (f"00-{'a' * 32}-{'b' * 16}-0\u0661", False),
        (f"00-{'a' * 32}-{'b' * 16}-01-", False),
        (f"cc-{'a' * 32}-{'b' * 16}-01more", False),
        (f"00-{'a' * 32}-{'b' * 16}", False),
        ("nonsense", False),
        ("\ud800", False),
        (None, False),
    ],
)
def test_a_valid_traceparent_is_the_callers_else_the_trace_is_our_own(
    recorder, sink, header, known
):
    headers = {} if header is None else {"traceparent": header}
    serve(recorder, read_headers=lambda: headers)
    (request,) = sink.requests()
    assert (request.trace_id == "a" * 32) is known
    assert request.parent_span_id == ("b" * 16 if known else None)
    assert int(request.trace_id, 16)


def test_paths_stay_here_unless_asked_for(sink):
    serve(Recorder(sink), path="/secret/")
    serve(Recorder(sink, record_paths=True), path="/kept/\udc80")
    targets = [frames.decode_timeline(frame)[0].path for _, frame in sink.frames]
    assert targets == [None, "/kept/?"]


def test_marks_after_the_end_are_dropped(recorder, sink):
    timeline = serve(recorder)
    timeline.append((ENTER, now(), HERE, 1))
    assert timeline.marks() == []


def test_headers_that_cannot_be_read_lose_the_record_not_the_request(recorder, sink, caplog):
    serve(recorder, read_headers=lambda: 1 / 0)
    assert sink.frames == []
    assert "was lost" in caplog.text


@pytest.mark.skipif(native is not None, reason="in C a mark is integers or isn't taken")
def test_marks_that_cannot_be_encoded_lose_the_record_not_the_request(recorder, sink, caplog):
    serve(recorder, [(ENTER, 1 << 70, HERE, 1)])
    serve(recorder, [(ENTER, "now", HERE, 1)])
    assert sink.frames == []
    serve(recorder)
    assert len(sink.requests()) == 1


class _Raising(MemorySink):
    def write(self, several, names):
        raise OSError("gone")


class _Undescribable(MemorySink):
    def describe(self, document):
        raise OSError("gone")


@pytest.mark.parametrize("sink_class", [_Raising, _Undescribable])
def test_a_sink_that_raises_breaks_no_request(sink_class):
    serve(Recorder(sink_class()))


def test_a_description_that_raises_breaks_no_request(recorder):
    recorder.describe = lambda: 1 / 0
    serve(recorder)


def test_the_process_is_described_again_when_a_problem_is_new(recorder, sink):
    described = []
    recorder.describe = lambda: described.append(1) or {}
    serve(recorder)
    serve(recorder)
    assert len(described) == 1
    recorder.problem("a:b", "refused", "first")
    recorder.problem("a:b", "refused", "second")
    serve(recorder)
    assert len(described) == 2
    assert recorder.problems == {"a:b": ("refused", "first")}


def test_occupancy_goes_out_with_the_next_request_or_when_there_is_much(recorder, sink):
    recorder.occupy(10, 20, None, recorder.name("a callback"))
    assert sink.frames == []
    serve(recorder)
    assert [(b.start_ns, b.end_ns, b.sequence) for b in busy_of(sink)] == [(10, 20, 0)]
    for instant in range(5_000):
        recorder.occupy(instant, instant + 1, None)
    assert len(busy_of(sink)) >= 4_000


def test_what_a_request_ran_is_split_where_it_had_answered(recorder, sink):
    timeline = recorder.open("asgi", "uvicorn", 0)
    timeline.view = recorder.name("shop.views.slow")
    timeline.last_ns = 60
    recorder.occupy(10, 100, timeline)
    recorder.close(timeline)
    names = [(b.start_ns, b.end_ns, sink.names[b.name - 1]) for b in busy_of(sink)]
    assert names == [
        (10, 60, "shop.views.slow"),
        (60, 100, "after_response of shop.views.slow"),
    ]


def test_a_long_stretch_is_named_after_what_ran_longest(recorder):
    timeline = recorder.open("asgi", "uvicorn", 0)
    view, middle = recorder.owner("view", "shop.view"), recorder.owner("middleware", "shop.Slow")
    for mark in (
        (ENTER, 10, HERE, middle),
        (ENTER, 8_000_000, HERE, view),
        (EXIT, 11_000_000, HERE, view),
        (EXIT, 11_500_000, HERE, middle),
    ):
        timeline.append(mark)
    assert recorder.blocker(timeline, 10, 11_500_000) == recorder.name("shop.Slow")
    assert recorder.blocker(timeline, 8_000_000, 11_000_100) == recorder.name("shop.view")


def test_errors_are_named_by_their_type(recorder):
    timeline = recorder.open("asgi", "uvicorn", 0)
    recorder.note_error(timeline, ValueError())
    assert timeline.error_type == recorder.name("ValueError")
    recorder.note_error(timeline, asyncio.CancelledError())
    assert timeline.error_type == recorder.name("asyncio.exceptions.CancelledError")
    recorder.note_error(None, ValueError())
    recorder.note_error(timeline, None)


def test_a_loop_is_watched_once(recorder):
    seen = []
    recorder.loop_hooks.append(seen.append)
    loop = asyncio.new_event_loop()
    try:
        recorder.watch_loop(loop)
        recorder.watch_loop(loop)
        assert seen == [loop]
    finally:
        loop.close()


def test_a_forked_child_sends_all_names_and_nothing_of_its_parents(recorder, sink, monkeypatch):
    monkeypatch.setattr(module, "_installed", recorder)
    serve(recorder)
    recorder.occupy(1, 2, None)
    recorder._lock.acquire()
    try:
        module._after_fork()
    finally:
        assert not recorder._lock.locked()
    sink.frames.clear()
    parents, sink.names = sink.names, []
    serve(recorder)
    assert sink.names[: len(parents)] == parents
    assert busy_of(sink) == []
    assert len(sink.requests()) == 1
