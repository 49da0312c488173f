"""What marks come to before anything is walked: who ran, who waited, what was handed over."""

from __future__ import annotations

from tests.support.timelines import LOOP, OWNERS, SITE, START_NS, WORKER, SymbolicTimeline
from tracer.analysis.attribution.replay import Replay
from tracer.analysis.attribution.track import HandoffMarks, Nested, Piece
from tracer.model import timeline as t


def replayed(actions, *, blocking=False):
    timeline = SymbolicTimeline()
    timeline.tell(actions)
    return Replay(timeline.marks, WORKER.owner, "shop.views.detail", blocking=blocking)


def plain(track):
    """Return a track's entries as tuples, instants counted from the request's start."""
    found = []
    for one in track.entries:
        what = {Piece: lambda one: one.owner.layer, Nested: lambda _: "nested"}.get(
            type(one), lambda _: "hand-off"
        )(one)
        found.append((one.start_ns - START_NS, one.end_ns - START_NS, what))
    return found


def test_a_scope_owns_what_runs_within_and_the_server_the_rest():
    replay = replayed([("work", 5), ("scope", "view", [("work", 7)]), ("work", 2)])
    assert plain(replay.root) == [(0, 5, "server"), (5, 12, "view"), (12, 14, "server")]
    assert (replay.root.start_ns, replay.root.end_ns) == (START_NS, START_NS + 14)


def test_a_wait_knows_when_it_was_over():
    replay = replayed([("work", 5), ("wait", 40, 3, False), ("work", 2)])
    (wait,) = [one for one in replay.root.entries if one.waiting]
    assert (wait.start_ns - START_NS, wait.due_ns - START_NS, wait.end_ns - START_NS) == (5, 45, 48)
    assert not wait.timer


def test_a_timer_that_ended_a_wait_was_due_when_it_was_set_for():
    replay = replayed([("wait", 40, 3, True)])
    (wait,) = [one for one in replay.root.entries if one.waiting]
    assert wait.timer
    assert wait.due_ns - START_NS == 40


def test_a_handoff_has_the_instants_of_its_marks_and_a_track_of_its_own():
    replay = replayed([("hop", (3, 4, 5, 6), [("work", 7)], False, None)])
    (handoff,) = replay.handoffs
    assert isinstance(handoff, HandoffMarks)
    assert (handoff.site, handoff.to_loop, handoff.thread_started) == (SITE, False, False)
    instants = ("start_ns", "submit_ns", "submitted_ns", "notified_ns", "end_ns")
    assert [getattr(handoff, name) - START_NS for name in instants] == [0, 3, 7, 20, 26]
    run = handoff.run
    assert (run.start_ns - START_NS, run.end_ns - START_NS) == (13, 20)
    assert run.thread != LOOP
    assert run.parent is handoff
    assert plain(replay.root) == [(0, 26, "hand-off")]
    assert plain(run) == [(13, 20, "server")]


def test_an_eager_task_runs_on_top_of_who_made_it():
    replay = replayed([("work", 2), ("eager", 5), ("work", 3)])
    assert plain(replay.root) == [(0, 2, "server"), (2, 7, "nested"), (7, 10, "server")]


def test_a_collection_is_a_part_of_whom_it_interrupted():
    replay = replayed([("scope", "view", [("work", 2), ("collect", 5)])])
    assert [(one.owner.layer, one.owner.part) for one in replay.root.entries] == [
        ("view", None),
        ("view", "gc"),
    ]


def test_a_server_that_reads_by_blocking_calls_waits_while_it_reads():
    body = "server\x1fbody\x1f\x1f"
    worker = WORKER.named([body])
    marks = [
        (t.STEP, START_NS, LOOP, t.ROOT),
        (t.ENTER, START_NS, LOOP, len(worker.names)),
        (t.EXIT, START_NS + 9, LOOP, len(worker.names)),
        (t.DONE, START_NS + 9, LOOP, t.ROOT),
    ]
    for blocking in (True, False):
        (piece,) = Replay(marks, worker.owner, "", blocking=blocking).root.entries
        assert (piece.end_ns - piece.start_ns, piece.blocked) == (9, blocking)


def test_a_torn_timeline_ends_with_its_last_mark():
    timeline = SymbolicTimeline()
    timeline.tell([("scope", OWNERS[2], [("work", 5)]), ("work", 4)])
    replay = Replay(timeline.marks[:-2], WORKER.owner, "", blocking=False)
    assert replay.root.end_ns == max(instant for _, instant, _, _ in timeline.marks[:-2])
