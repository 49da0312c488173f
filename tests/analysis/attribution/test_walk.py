"""The walk along the wait: segments in order, each hand-off cut into its phases."""

from __future__ import annotations

from tests.support.timelines import LOOP, START_NS, WORKER, SymbolicTimeline
from tracer.analysis.attribution.blame import Blame
from tracer.analysis.attribution.replay import Replay
from tracer.analysis.attribution.walk import Walk
from tracer.model.frames import Busy


def walk_of(actions, busy=()):
    timeline = SymbolicTimeline()
    timeline.tell(actions)
    replay = Replay(timeline.marks, WORKER.owner, "", blocking=False)
    return Walk(replay, WORKER.text, Blame(busy, 1, WORKER.names)), timeline.now


def plain(segments):
    return [
        (one.start_ns - START_NS, one.end_ns - START_NS, one.layer, one.phase or one.detail)
        for one in segments
    ]


def test_what_runs_in_the_loop_follows_itself():
    walk, _ = walk_of([("work", 5), ("scope", "view", [("work", 7)])])
    assert plain(walk.main(START_NS)) == [
        (0, 5, "server", None),
        (5, 12, "view", "detail of view"),
    ]


def test_the_walk_goes_into_the_thread_and_back():
    hop = ("hop", (3, 4, 5, 6), [("scope", "view", [("work", 7)])], False, None)
    walk, _ = walk_of([hop])
    segments = walk.main(START_NS)
    assert plain(segments) == [
        (0, 3, "handoff", "prepare"),
        (3, 7, "handoff", "submit"),
        (7, 13, "handoff", "wake"),
        (13, 20, "view", "detail of view"),
        (20, 26, "handoff", "return"),
    ]
    assert [one.state for one in segments] == ["run", "run", "wait", "run", "wait"]
    (handoff,) = walk.handoffs(START_NS + 26)
    assert handoff.phases == {
        "prepare": 3, "submit": 4, "queue": 0, "wake": 6, "run": 7, "notify": 0, "return": 6,
        "resume": 0,
    }  # fmt: skip
    assert (handoff.start_ns - START_NS, handoff.end_ns - START_NS) == (0, 26)
    assert (handoff.counts, handoff.overlapped, handoff.cost_ns) == (True, False, 19)


def test_a_thread_that_was_just_started_has_run_before_submit_returns():
    walk, _ = walk_of([("hop", (3, 4, 5, 6), [("work", 7)], True, None)])
    assert [name for *_, name in plain(walk.main(START_NS))] == [
        "prepare",
        "submit",
        None,
        "return",
    ]
    (handoff,) = walk.handoffs(START_NS + 26)
    assert handoff.thread_started
    assert handoff.phases["submit"] == 4 + 6


def test_an_awaited_task_tiles_and_the_loops_turns_around_it_are_the_loops():
    walk, _ = walk_of([("child", [("scope", "view", [("work", 9)])], 4)])
    assert plain(walk.main(START_NS)) == [
        (0, 4, "event_loop", "turn"),
        (4, 13, "view", "detail of view"),
        (13, 17, "event_loop", "turn"),
    ]


def test_tasks_awaited_together_run_beside_the_wait_for_them():
    walk, now = walk_of([("gather", 5, 8)])
    assert plain(walk.main(START_NS)) == [(0, 13, "server", None)]
    assert plain(walk.side_tracks(now)) == [(0, 5, "server", None), (5, 13, "server", None)]


def test_what_others_ran_while_a_handoff_waited_for_the_loop_is_the_loops():
    back = Busy(START_NS + 21, START_NS + 24, LOOP, 2, 3)
    walk, _ = walk_of([("hop", (3, 4, 5, 6), [("work", 7)], False, None)], [back])
    assert plain(walk.main(START_NS))[-3:] == [
        (20, 21, "handoff", "return"),
        (21, 24, "event_loop", "shop.views.detail"),
        (24, 26, "handoff", "return"),
    ]
    (handoff,) = walk.handoffs(START_NS + 26)
    assert handoff.event_loop_ns == 3
    assert handoff.cost_ns == 19 - 3


def test_a_handoff_to_the_loop_lies_in_the_one_whose_thread_asked():
    call = ((2, 3, 4), [("work", 5)])
    walk, _ = walk_of([("hop", (1, 1, 1, 1), [], False, call)])
    walk.main(START_NS)
    outer, inner = walk.handoffs(START_NS + 100)
    assert (outer.parent, inner.parent) == (None, 0)
    assert inner.to_loop
    assert (inner.phases["submit"], inner.phases["wake"], inner.phases["run"]) == (2, 3, 5)
