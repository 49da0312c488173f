"""Spans by shapes are the spans that each request has by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import timelines
from tests.support.strategies import BUSY, GARBAGE, HEADS, PROGRAMS
from tests.support.timelines import SymbolicTimeline
from tracer.analysis.attribution.attribute import attribute
from tracer.analysis.shapes.batch import Batch
from tracer.analysis.shapes.tally_builder import TallyBuilder
from tracer.analysis.spans.span_builder import SpanBuilder, spans_planner
from tracer.analysis.spans.span_row import SpanRow
from tracer.analysis.spans.spans import Trace, trace_of
from tracer.analysis.statistics.tally import Tallies
from tracer.model import timeline as t
from tracer.model.frames import Busy
from tracer.model.nametable import CodeLocation, Endpoint, endpoint_text, location_text

thorough = settings(max_examples=40, deadline=None)
NUMBER = 1
OTHER_SITE = len(timelines.NAMES) + 1
ENDPOINT = OTHER_SITE + 1
OS_THREAD = 9_000
WORKER = replace(
    timelines.WORKER,
    names=(
        *(one.replace("detail of ", "detail.of.") for one in timelines.NAMES),
        "thread:asks → loop",
        endpoint_text(Endpoint("http", "127.0.0.1", 8000, "1.1")),
        location_text("detail.of.view", CodeLocation("/site/views.py", 7)),
        location_text("detail.of.middleware", CodeLocation("/site/middleware.py", None)),
        location_text("thread:asks → loop", CodeLocation("/site/threads.py", 3)),
    ),
    description={
        **timelines.WORKER.description,
        "threads": {str(OS_THREAD + timelines.LOOP): "MainThread"},
    },
)


def batch_of(several, busy):
    """Lay timelines `(head, marks)` of one worker side by side."""
    lengths = [len(marks) for _, marks in several]
    flat = [mark for _, marks in several for mark in marks]
    entries = [(b.start_ns, b.end_ns, b.thread, b.sequence, b.name) for b in busy]
    log = np.array(entries, np.int64).reshape(-1, 5)
    log = log[log[:, 0] < log[:, 1]]
    return Batch(
        [head for head, _ in several],
        [NUMBER] * len(several),
        np.array(flat, np.int64).reshape(-1, 4),
        np.cumsum([0, *lengths]).astype(np.int64),
        {NUMBER: log[np.argsort(log[:, 1], kind="stable")]},
    )


def compare(several, busy, level):
    """Assert that a batch gives what each timeline gives alone; return what was built."""
    builder = SpanBuilder(level)
    built = builder.build(batch_of(several, busy), {NUMBER: WORKER})
    found = built.traces()
    assert len(found) == len(several)
    for trace, (head, marks) in zip(found, several, strict=True):
        wanted = trace_of(attribute(head, marks, WORKER, busy), level)
        assert (trace.trace_id, trace.pid) == (wanted.trace_id, wanted.pid)
        assert exactly(trace) == exactly(wanted)
    return built


def possible(busy, several):
    """Leave out what can't have been: that others had a thread while a request ran in it.

    And what nobody reads: whoever keeps a log drops entries that end before they begin.
    """
    marks = [(thread, at) for _, timeline in several for _, at, thread, _ in timeline]
    return [
        one
        for one in busy
        if one.start_ns < one.end_ns
        and not any(
            thread == one.thread and one.start_ns <= at <= one.end_ns for thread, at in marks
        )
    ]


def exactly(trace):
    return sorted(
        (
            one.span_id, one.parent_id or 0, one.name, one.start_ns, one.end_ns,
            sorted(map(str, one.attributes.items())), one.events, one.server, one.failed,
        )
        for one in trace.spans
    )  # fmt: skip


def timeline_of(program, after, number=1, stretch=1):
    timeline = SymbolicTimeline()
    timeline.tell(program, after)
    start = timelines.START_NS
    # Two hand-offs of one site, one in the other, are told apart by their order alone.
    marks = [
        (
            code,
            start + (at - start) * stretch if at else at,
            thread,
            {t.CALL: OTHER_SITE, t.RUN_ON: OS_THREAD + value}.get(code, value),
        )
        for code, at, thread, value in timeline.marks
    ]
    marks.insert(0, (t.OS_THREAD, start, timelines.LOOP, OS_THREAD + timelines.LOOP))
    finish = start + (timeline.now - start) * stretch + 5
    head = timelines.head(finish_ns=finish, request_id=number, sequence=number, endpoint=ENDPOINT)
    return head, marks


@pytest.mark.parametrize("level", ["layers", "handoffs", "all"])
@thorough
@given(program=PROGRAMS, after=PROGRAMS)
def test_requests_of_one_shape_have_each_its_own_figures(level, program, after):
    several = [timeline_of(program, after, number, number) for number in (1, 2, 3)]
    compare(several, (), level)


@pytest.mark.parametrize("level", ["layers", "handoffs", "all"])
@thorough
@given(programs=st.lists(st.tuples(PROGRAMS, PROGRAMS), min_size=1, max_size=3), busy=BUSY)
@example(programs=[([], [])], busy=[Busy(999_980, 2**63 - 2, 1, 0, 0), Busy(-1, 0, 1, 0, 0)])
def test_who_had_the_loop_is_told_of_each(level, programs, busy):
    several = [timeline_of(*one, number, 1_000) for number, one in enumerate(programs, 2)]
    compare(several, possible(busy, several), level)


@thorough
@given(HEADS, GARBAGE)
@example(timelines.head(finish_ns=999_980, start_ns=999_980), [(t.QUEUED, 999_980, 1, 0)])
def test_garbage_is_drawn_or_told_alone(head, marks):
    head = replace(head, request_id=head.request_id or 1, weight=1.0)
    compare([(head, marks)], (), "handoffs")


@pytest.mark.parametrize("level", ["layers", "handoffs", "all"])
def test_who_had_the_loop_lies_in_what_waited_for_it(level):
    program = [
        ("scope", "view", [("wait", 40, 60, False), ("hop", (9, 9, 9, 90), [], False, None)]),
    ]
    head, marks = timeline_of(program, [("wait", 40, 60, True)])
    last = marks[-1][1]
    busy = [
        Busy(at, at + 7, timelines.LOOP, 9, 3) for at in range(timelines.START_NS + 2, last, 25)
    ]
    (one,) = compare([(head, marks)], busy, level).requests
    assert isinstance(one, SpanRow)


def test_spans_say_where_their_code_stands_and_which_thread_began_them():
    call = ((1, 2, 3), [("scope", "middleware", [("work", 4)])])
    hop = ("hop", (1, 2, 3, 4), [("work", 5)], False, call)
    program = [("scope", "view", [("work", 3), hop])]
    (trace,) = (
        SpanBuilder("handoffs")
        .build(batch_of([timeline_of(program, [])], ()), {NUMBER: WORKER})
        .traces()
    )
    root, *below = trace.spans
    loop = {"thread.id": timelines.LOOP, "thread.name": "MainThread"}
    assert root.attributes.items() >= loop.items()
    assert root.attributes["server.address"] == "127.0.0.1"
    assert root.attributes["server.port"] == 8000
    assert root.attributes["url.scheme"] == "http"
    assert root.attributes["network.protocol.version"] == "1.1"
    by_name = {one.name: one.attributes for one in reversed(below)}
    view = {"code.function.name": "detail.of.view", "code.file.path": "/site/views.py", **loop}
    assert by_name["view: of.view"].items() >= {**view, "code.line.number": 7}.items()
    middleware = next(one for name, one in by_name.items() if "middleware" in name)
    assert middleware["code.file.path"] == "/site/middleware.py"
    assert "code.line.number" not in middleware
    asked = by_name["hand-off to the loop: loop"]
    assert asked["code.function.name"] == "thread.asks"
    assert asked["code.line.number"] == 3
    assert asked["thread.id"] == timelines.LOOP + 1
    assert "thread.name" not in asked


def test_one_thread_of_the_kernel_under_two_numbers_is_drawn_alone():
    head, marks = timeline_of([("hop", (1, 2, 3, 4), [("work", 5)], False, None)], [])
    marks = [
        (code, at, thread, OS_THREAD + timelines.LOOP if code == t.RUN_ON else value)
        for code, at, thread, value in marks
    ]
    (one,) = compare([(head, marks)], (), "handoffs").requests
    assert isinstance(one, Trace)


def test_a_shape_is_planned_once_and_drawn_for_all():
    program = [("scope", "view", [("hop", (1, 2, 3, 4), [("work", 5)], False, None)])]
    built = compare([timeline_of(program, [], n, n) for n in range(1, 30)], (), "handoffs")
    assert len({one.shape for one in built.requests}) == 1


def test_of_many_that_had_the_loop_the_longest_are_told_and_the_sum_is_that_of_all():
    waits = [("wait", 40, 60, False) for _ in range(20)]
    head, marks = timeline_of([("scope", "view", waits)], [], stretch=1_000)
    steps = [at for code, at, _, _ in marks if code == t.STEP][1:]
    busy = [
        Busy(at - 20_000 - 100 * number, at - 5_000, timelines.LOOP, 9, 3)
        for number, at in enumerate(steps)
    ]
    shown = {}
    for level in ("layers", "handoffs", "all"):
        compare([(head, marks)], busy, level)
        (one,) = (
            SpanBuilder(level).build(batch_of([(head, marks)], busy), {NUMBER: WORKER}).traces()
        )
        root, *below = one.spans
        whole = root.attributes["tracer.layer.event_loop.duration_ns"]
        blocker = ("event_loop", "shop.views.detail")
        shown[level] = sorted(
            span.end_ns - span.start_ns
            for span in below
            if tuple(map(span.attributes.get, ("tracer.layer", "tracer.detail"))) == blocker
        )
        parts = sum(
            span.attributes.get("tracer.self.event_loop.duration_ns", 0)
            or span.attributes["tracer.self_ns"]
            * (span.attributes.get("tracer.layer") == "event_loop")
            for span in (root, *below)
        )
        assert parts == whole
    assert [len(shown[level]) for level in ("layers", "handoffs", "all")] == [0, 8, len(steps)]
    assert shown["handoffs"] == shown["all"][-8:]


def test_tallies_and_spans_are_made_of_one_planned_batch():
    hop = ("hop", (1, 2, 3, 4), [("collect", 5)], False, None)
    several = [timeline_of([("scope", "view", [hop])], [], n, n) for n in range(1, 4)]
    batch = batch_of(several, [])
    planned = spans_planner("handoffs").plan(batch, {NUMBER: WORKER})
    tallies = TallyBuilder(Tallies())
    rows = tallies.add_planned(planned)
    assert rows == TallyBuilder(Tallies()).add(batch, {NUMBER: WORKER})
    assert tallies.planned + tallies.alone == len(several)
    shared = SpanBuilder("handoffs").build_planned(planned).traces()
    apart = SpanBuilder("handoffs").build(batch, {NUMBER: WORKER}).traces()
    assert list(map(exactly, shared)) == list(map(exactly, apart))
