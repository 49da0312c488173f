"""The end of a request at once: what C hands over is what Python would have, and when it may."""

from __future__ import annotations

import functools
import os
import threading

import pytest

from tracer.model import frames
from tracer.model.clock import now
from tracer.model.native import native
from tracer.model.timeline import DONE, LAST, ROOT, STEP
from tracer.ring.layout import WANTED
from tracer.ring.reader import RingReader
from tracer.ring.writer import RingWriter
from tracer.runtime.recorder import Recorder
from tracer.settings.sampling import Policy

pytestmark = pytest.mark.skipif(native is None, reason="no accelerator")

FIELDS = ("server", "interface", "status", "method", "outcome", "endpoint", "view", "weight")


@pytest.fixture
def writer(tmp_path):
    return RingWriter(tmp_path)


@pytest.fixture
def recorder(writer):
    return Recorder(writer)


@pytest.fixture
def slow(recorder):
    """How often Python closed a timeline."""
    closed, original = [], recorder.sampler.settle

    def settle(*args):
        closed.append(True)
        return original(*args)

    recorder.sampler.settle = settle
    return closed


def serve(recorder, headers=None, **fields):
    timeline = recorder.open(
        "wsgi", "gunicorn", now(), "/there", functools.partial(dict, headers or {})
    )
    for name, value in fields.items():
        setattr(timeline, name, value)
    here = threading.get_ident()
    timeline.append((STEP, timeline.start_ns, here, ROOT))
    timeline.last_ns = now()
    timeline.append((LAST, timeline.last_ns, here, 0))
    timeline.append((DONE, now(), here, ROOT))
    recorder.occupy(timeline.start_ns, now(), timeline)
    recorder.close(timeline)
    return timeline


def read(tmp_path):
    (path,) = tmp_path.glob("*.ring")
    reader = RingReader(path)
    try:
        found = list(reader.frames())
    finally:
        reader.close()
    timelines = [
        frames.decode_timeline(content) for kind, content in found if kind == frames.TIMELINE
    ]
    busy = [
        one
        for kind, content in found
        if kind == frames.OCCUPANCY
        for one in frames.decode_occupancy(content)
    ]
    return timelines, busy


def test_after_the_first_request_python_closes_none(recorder, slow, tmp_path):
    for _ in range(5):
        serve(recorder, status=201, method=recorder.name("GET"))
    assert len(slow) == 1
    timelines, busy = read(tmp_path)
    assert [head.sequence for head, _ in timelines] == list(range(1, 6))
    assert {one.sequence for one in busy} == set(range(1, 6))
    assert recorder.sampler.counts[:2].tolist() == [5, 5]


def test_what_it_hands_over_is_what_python_would_have(recorder, tmp_path):
    given = {"status": 201, "method": 1, "outcome": 2, "endpoint": 3, "view": 4, "connection": 7}
    made = [serve(recorder, **given) for _ in range(2)]
    recorder.ending.disarm()
    made.append(serve(recorder, **given))
    timelines, _ = read(tmp_path)
    heads = [head for head, _ in timelines]
    for name in (*FIELDS, "connection", "loop", "http", "route", "error_type", "folded", "path"):
        assert len({getattr(head, name) for head in heads}) == 1, name
    assert [head.sequence for head in heads] == [one.sequence for one in made]
    assert [head.start_ns for head in heads] == [one.start_ns for one in made]
    assert all(head.finish_ns >= head.start_ns for head in heads)
    assert [[mark[0] for mark in marks] for _, marks in timelines] == [[STEP, LAST, DONE]] * 3
    assert all(len(one) == 0 and one.read_headers is None for one in made)


def test_each_request_has_ids_of_its_own(recorder, tmp_path):
    for _ in range(200):
        serve(recorder)
    heads = [head for head, _ in read(tmp_path)[0]]
    for name in ("request_id", "trace_id"):
        found = [getattr(head, name) for head in heads]
        assert len(set(found)) == 200
        assert all(found)
    assert all(head.parent_span_id is None for head in heads)
    assert any(head.trace_id >> 120 for head in heads)


def test_a_caller_s_trace_goes_on(recorder, slow, tmp_path):
    serve(recorder)
    serve(recorder, {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    assert len(slow) == 2
    head = read(tmp_path)[0][-1][0]
    assert head.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert head.parent_span_id == 0xB7AD6B7169203331


def test_a_new_name_is_told_first(recorder, slow, tmp_path):
    serve(recorder)
    number = recorder.name("new")
    serve(recorder, method=number)
    serve(recorder, method=number)
    assert len(slow) == 2
    (path,) = tmp_path.glob("*.ring")
    reader = RingReader(path)
    list(reader.frames())
    assert reader.names(0)[number - 1] == "new"
    reader.close()


def test_a_problem_is_described_first(recorder, slow, tmp_path):
    recorder.describe = lambda: dict(recorder.problems)
    serve(recorder)
    recorder.problem("a:seam", "absent", "gone")
    serve(recorder)
    serve(recorder)
    assert len(slow) == 2
    (path,) = tmp_path.glob("*.ring")
    reader = RingReader(path)
    assert "a:seam" in reader.description()
    reader.close()


def test_a_thread_is_met_before_its_requests_are_closed_at_once(recorder, slow):
    serve(recorder)
    for _ in range(2):
        thread = threading.Thread(target=lambda: [serve(recorder), serve(recorder)], name="other")
        thread.start()
        thread.join()
    assert "other" in recorder.threads.told().values()
    assert len(slow) <= 3


@pytest.mark.parametrize(
    ("policy", "paths"),
    [(Policy(rate=0.999_999), False), (Policy(paths=(("/there", 1.0),)), False), (Policy(), True)],
)
def test_python_closes_all_where_there_is_more_to_do(writer, policy, paths):
    recorder = Recorder(writer, policy=policy, record_paths=paths)
    closed, original = [], recorder.sampler.settle
    recorder.sampler.settle = lambda *args: closed.append(True) or original(*args)
    for _ in range(3):
        serve(recorder)
    assert len(closed) == 3


def test_a_status_that_is_none_is_left_to_python(recorder, slow, tmp_path):
    serve(recorder)
    serve(recorder, status="odd")
    serve(recorder)
    assert len(slow) >= 2
    assert recorder.problems["recorder:close"][0] == "refused"
    assert len(read(tmp_path)[0]) == 2


def test_a_ring_that_a_reader_wants_left_is_left(recorder, slow, tmp_path):
    serve(recorder)
    recorder.sink._words[WANTED] = 1
    serve(recorder)
    assert recorder.sink._ring is None
    serve(recorder)
    assert len(slow) == 2
    assert len(list(tmp_path.glob("*.ring"))) == 2


def test_a_truncated_ring_harms_no_request(recorder, slow, tmp_path):
    serve(recorder)
    (path,) = tmp_path.glob("*.ring")
    os.truncate(path, 0)
    serve(recorder)
    serve(recorder)
    assert len(slow) == 2
    assert len(list(tmp_path.glob("*.ring"))) == 2


def test_a_forked_child_hands_over_nothing_of_its_parent_s(recorder, tmp_path):
    serve(recorder)
    pid = os.fork()
    if pid == 0:
        try:
            serve(recorder)  # as where a fork went past `os.fork`'s hooks
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    serve(recorder)
    rings = sorted(tmp_path.glob("*.ring"))
    assert {int(path.name.partition("-")[0]) for path in rings} == {os.getpid(), pid}
    counts = []
    for path in rings:
        reader = RingReader(path)
        counts.append(sum(kind == frames.TIMELINE for kind, _ in reader.frames()))
        reader.close()
    assert sorted(counts) == [1, 2]


@pytest.mark.parametrize("given", [(), (1,), (None, None)])
def test_it_is_called_with_a_timeline_or_leaves_it_to_python(recorder, given):
    serve(recorder)
    if given == (1,):
        recorder.close(*given)
        assert "recorder:close" in recorder.problems
    else:
        with pytest.raises(TypeError):
            recorder.close(*given)
