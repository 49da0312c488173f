"""The accelerator says what the Python version says, and its scopes behave like functions."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import pickle
import subprocess
import sys
import threading
import types
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.model import marks
from tracer.model.current import CURRENT
from tracer.model.frames import decode_occupancy
from tracer.model.native import PURE, native
from tracer.model.timeline import ENTER, EXIT, SUBMIT
from tracer.runtime import tasks as tracks
from tracer.runtime.scopes import enter, leave, mark, mark_at, scoped

INT64 = st.integers(-(2**63), 2**63 - 1)
BOTH = [marks.PureMarks] if native is None else [marks.PureMarks, native.Marks]
LOGS = [marks.PureLog] if native is None else [marks.PureLog, native.Log]


def greet(name, *, loud=False):
    """Greet."""
    return name.upper() if loud else name


greet_in_scope = scoped(greet, 3)
greet_in_scope.__qualname__ = "greet_in_scope"


@pytest.mark.skipif("TRACER_PURE" in os.environ, reason="switched off")
def test_it_was_built_here():
    assert native is not None, "no C compiler or no headers of Python: slower, else the same"


def test_it_can_be_switched_off():
    code = "import tracer.model.timeline, tracer.model.marks as m; print(m.Marks is m.PureMarks)"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, PURE: "1"}
    assert subprocess.check_output(command, env=environment, text=True).strip() == "True"


@given(st.lists(st.tuples(INT64, INT64, INT64, INT64), max_size=300))
def test_marks_are_packed_as_they_came(entries):
    for kind in BOTH:
        made = kind()
        for entry in entries:
            made.append(entry)
        assert len(made) == len(entries)
        assert marks.unpack(made.packed()) == entries
        made.drop()
        made.append((1, 2, 3, 4))
        assert not made.packed()


@given(st.lists(st.tuples(INT64, INT64, INT64, INT64, INT64), max_size=50), st.integers(0, 50))
def test_a_log_is_taken_once(entries, first):
    for kind in LOGS:
        log = kind()
        for entry in entries[:first]:
            log.append(entry)
        taken = log.take()
        for entry in entries[first:]:
            log.append(entry)
        assert len(log) == len(entries[first:])
        assert len(taken + log.take()) == 40 * len(entries)
        assert not log.take()


SHORT = st.integers(0, 30)


@given(SHORT, SHORT, SHORT, st.sampled_from([0, 5]), st.sampled_from([None, {}, {3: 7}]))
def test_both_logs_note_the_same_of_a_request(start, length, answered, after, names):
    noted = []
    for log_kind, marks_kind in zip(LOGS, BOTH, strict=True):
        log, made = log_kind(), marks_kind()
        log.after = names
        made.sequence, made.view, made.last_ns, made.after = 9, 3, answered, after
        said = log.note(made, start, start + length)
        noted.append((said, made.after, log.take()))
    assert all(one == noted[0] for one in noted)
    said, _, taken = noted[0]
    entries = decode_occupancy(taken)
    assert said == bool(entries)
    assert sum(one.end_ns - one.start_ns for one in entries) == length * said


def test_a_log_takes_no_note_of_what_is_no_request():
    for kind in LOGS[1:]:
        for given_ in ((None, 1, 2), (1, 2), (native.Marks(), "1", 2)):
            with pytest.raises(TypeError):
                kind().note(*given_)


def test_ids_count_on_and_a_column_s_memory_is_new_to_the_next_request():
    for kind in BOTH:
        first = kind()
        for number in range(600):
            first.append((number, 1, 1, 1))
        first.drop()
        second = kind()
        assert [second.next_id() for _ in range(3)] == [1, 2, 3]
        assert not second.packed()
        second.append((1, 2, 3, 4))
        assert marks.unpack(second.packed()) == [(1, 2, 3, 4)]
        assert (second.weight, second.kept, second.endpoint) == (1.0, 0, 0)


@pytest.mark.skipif(native is None, reason="no accelerator")
@pytest.mark.parametrize("shape", [lambda live: live, lambda live: (live, [])])
def test_receivers_are_stood_in_for_and_those_unknown_by_others(timeline, shape):
    def known(**_):
        return "known"

    def unknown(**_):
        return "unknown"

    def other(of, live):
        assert of is timeline
        return "other", live

    signals = {"mine": {id(known.__code__): 5}}
    for live in ([known, known], []):
        traced = native.live_receivers(lambda *_, live=live: shape(live), CURRENT, signals, other)(
            "mine", 1
        )
        found = traced[0] if isinstance(traced, tuple) else traced
        assert [one(sender="me") for one in found] == ["known"] * len(live)
    assert [(code, value) for code, _, _, value in timeline.marks()] == [(ENTER, 5), (EXIT, 5)] * 2
    live = shape([known, unknown])
    assert native.live_receivers(lambda *_: live, CURRENT, signals, other)("mine", 1) == (
        "other",
        live,
    )
    assert (
        native.live_receivers(lambda *_: live, CURRENT, signals, lambda *_: 1 / 0)("mine", 1)
        is live
    )
    for not_heard in (("theirs", 1), ([], 1), ()):
        assert native.live_receivers(lambda *_: live, CURRENT, signals, other)(*not_heard) is live
    with pytest.raises(ZeroDivisionError):
        native.live_receivers(lambda *_: 1 / 0, CURRENT, signals, other)("mine", 1)


@pytest.mark.skipif(native is None, reason="no accelerator")
def test_without_a_request_receivers_are_what_they_are():
    live = [print]
    assert (
        native.live_receivers(lambda *_: live, CURRENT, {"mine": {}}, lambda *_: 1 / 0)("mine", 1)
        is live
    )


def test_marks_of_the_module_carry_instant_and_thread(timeline):
    enter(timeline, 7)
    mark(timeline, SUBMIT, 5)
    mark_at(timeline, (SUBMIT, 1, 2, 3))
    leave(timeline, 7)
    found = timeline.marks()
    assert [(code, value) for code, _, _, value in found] == [
        (ENTER, 7),
        (SUBMIT, 5),
        (SUBMIT, 3),
        (EXIT, 7),
    ]
    assert {found[0][2], found[3][2]} == {threading.get_ident()}
    assert found[0][1] <= found[1][1] <= found[3][1]


def test_past_the_limit_scopes_are_folded_and_stay_balanced(timeline):
    enter(timeline, 1)
    for _ in range(marks.MARK_LIMIT):
        enter(timeline, 2)
        leave(timeline, 2)
    mark(timeline, SUBMIT, 9)
    leave(timeline, 1)
    found = timeline.marks()
    assert len(found) <= marks.MARK_LIMIT + 4
    assert timeline.folded == 2 * marks.MARK_LIMIT + 3 - len(found)
    assert (found[-1][0], found[-1][3]) == (EXIT, 1)
    assert (found[-2][0], found[-2][3]) == (SUBMIT, 9)
    assert sum(code == ENTER for code, *_ in found) == sum(code == EXIT for code, *_ in found)


def test_a_scope_is_called_as_its_function(timeline):
    assert greet_in_scope("a") == "a"
    assert greet_in_scope(name="a", loud=True) == "A"
    with pytest.raises(TypeError, match="greet"):
        greet_in_scope()
    assert len(timeline) == 6
    assert inspect.signature(greet_in_scope) == inspect.signature(greet)
    assert inspect.unwrap(greet_in_scope) is greet
    assert greet_in_scope.__doc__ == "Greet."
    assert greet_in_scope.__module__ == __name__
    assert not inspect.iscoroutinefunction(greet_in_scope)


def test_a_scope_binds_as_a_function_does(timeline):
    class Greeter:
        greet = scoped(lambda self, name: (self, name), 3)
        kind = classmethod(scoped(lambda cls: cls, 3))
        plain = staticmethod(scoped(lambda: 5, 3))

    one = Greeter()
    assert one.greet("a") == (one, "a")
    assert Greeter.greet(one, "a") == (one, "a")
    assert functools.partial(one.greet, "b")() == (one, "b")
    assert (one.kind(), one.plain()) == (Greeter, 5)
    assert one.greet.__self__ is one
    assert len(timeline) == 10


def test_a_scope_is_copied_pickled_and_let_go_as_a_function_is():
    assert copy.copy(greet_in_scope) is greet_in_scope
    assert copy.deepcopy({"f": greet_in_scope})["f"] is greet_in_scope
    assert pickle.loads(pickle.dumps(greet_in_scope)) is greet_in_scope  # noqa: S301 - our own
    made = scoped(lambda: 1, 3)
    gone = weakref.ref(made)
    made.attribute = 5
    assert made.attribute == 5
    del made
    assert gone() is None


@pytest.mark.parametrize("waiting", dict.fromkeys((tracks.Waiting, tracks.PureWaiting)))
def test_call_soon_is_stood_in_for_while_somebody_waits(waiting):
    loop = types.SimpleNamespace()
    one = waiting(loop, len, max)
    one.begin()
    one.begin()
    one.end()
    assert loop.call_soon is max
    one.end()
    assert loop.call_soon is len


@pytest.mark.skipif(native is None, reason="no accelerator")
@pytest.mark.parametrize(
    ("given_", "named"), [((1, 2, 3, 4, 5), {}), ((1,), {"server": 1}), (("1",), {})]
)
def test_a_timeline_takes_four_integers_and_nothing_else(given_, named):
    with pytest.raises(TypeError):
        native.Marks(*given_, **named)
