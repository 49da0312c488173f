"""The agent's account: what was sent is recorded once or counted as dropped, whatever happens."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.rings import recorded, send, sent_by, writer_in
from tracer.agent.agent import Agent
from tracer.model import frames
from tracer.recording.writer import RecordingWriter
from tracer.ring import layout as ring


class CrashError(BaseException):
    """Stands for a SIGKILL: nothing after it runs."""


class Bench:
    """A directory, a recording, and agents that come and go."""

    def __init__(self, folder):
        self.directory = folder / "rings"
        self.directory.mkdir()
        self.path = folder / "recording"
        self.said = []
        self.recording = RecordingWriter(self.path, {})
        self.agent = self._agent()

    def _agent(self):
        return Agent(self.recording, self.directory, self.said.append)

    def restart(self):
        self.recording._database.close()
        self.recording = RecordingWriter.reopen(self.path, {})
        self.agent = self._agent()

    def drain(self):
        self.agent._care_at = self.agent._retry_at = self.recording._again = 0.0
        while self.agent.drain():
            pass
        self.agent._care_at = 0.0
        self.agent.drain()

    def end(self):
        self.drain()
        self.recording.close()
        return recorded(self.path)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_all_that_was_sent_is_recorded_once_and_in_order(bench):
    writer = writer_in(bench.directory)
    for number in range(1, 500, 50):
        send(writer, 50, number)
        bench.agent.drain()
    assert bench.end() == (list(range(1, 501)), 0)


def test_what_a_full_ring_had_no_room_for_is_dropped_and_nothing_else(bench):
    writer = writer_in(bench.directory, 4096)
    send(writer, 100)
    bench.drain()
    send(writer, 5, 101)
    found, dropped = bench.end()
    assert found[-5:] == [101, 102, 103, 104, 105]
    assert len(found) + dropped == 105
    assert dropped > 50


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["drain", "crash", "restart"]))),
    st.integers(0, 80),
    st.sampled_from([4096, 1 << 20]),
)
def test_an_agent_killed_at_any_step_loses_nothing_and_records_nothing_twice(
    tmp_path_factory, steps, crash_after, capacity
):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    writer, sent = writer_in(bench.directory, capacity), 0
    for count, then in steps:
        send(writer, count, sent + 1)
        sent += count
        if then == "drain":
            bench.drain()
        elif then == "restart":
            bench.restart()
        else:
            crash(bench, crash_after)
            bench.restart()
    found, dropped = bench.end()
    assert len(found) + dropped == sent
    assert found == sorted(set(found))
    writer._let_go()
    assert dropped == writer._sent - writer._written


def crash(bench, after):
    """Let the agent die before the n-th thing it does to recording or ring."""
    left = iter(range(after))

    def dying(original):
        def call(*arguments):
            if next(left, None) is None:
                raise CrashError
            return original(*arguments)

        return call

    for name in ("commit", "worker", "names", "frame", "advance", "_guarded", "_write"):
        setattr(bench.recording, name, dying(getattr(bench.recording, name)))
    bench.agent._settle = dying(bench.agent._settle)
    with contextlib.suppress(CrashError):
        bench.drain()


def test_a_recording_that_cannot_be_written_for_a_while_costs_nothing(bench, monkeypatch):
    writer = writer_in(bench.directory)
    send(writer, 5)
    bench.drain()

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(bench.recording, "_write", full)
            for _ in range(2):
                send(writer, 5, sent_by(writer) + 1)
                bench.drain()
            assert "no room" in bench.agent.status()["failure"]
            send(writer_in(bench.directory), 2, 1_000)
        bench.drain()
        assert bench.agent.failure is None
    found, dropped = bench.end()
    assert [one for one in found if one < 1_000] == list(range(1, 36))
    assert len(found) == 41
    assert dropped == 0
    assert len(bench.said) == 6, "said once when it begins and once when it is over"


def test_damaged_frames_are_dropped_timelines(bench):
    writer = writer_in(bench.directory)
    send(writer, 3)
    writer.write([(frames.TIMELINE, b"nonsense")], [])
    writer.write([(frames.OCCUPANCY, b"nonsense")], [])
    send(writer, 3, 5)
    assert bench.end() == ([1, 2, 3, 5, 6, 7], 1)


def corrupted(path, place, data):
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


@pytest.mark.parametrize("area", [ring.HEAD * 8, ring.FRAMES, ring.NAMES])
def test_a_ring_of_garbage_is_left_for_another_and_its_loss_counted(bench, area):
    writer = writer_in(bench.directory)
    send(writer, 3)
    bench.drain()
    place = area + {ring.FRAMES: writer._ring.head, ring.NAMES: writer._names}.get(area, 0)
    writer._texts.append("another")
    send(writer, 4, 4)
    corrupted(writer._path, place, b"\xff" * 16)
    bench.drain()
    assert "another ring" in bench.said[0]
    send(writer, 10, 8)
    found, dropped = bench.end()
    assert found[:3] == [1, 2, 3]
    assert found[-1] == 17
    assert len(found) + dropped == 17
    assert dropped == 5, "those in it, and the one in which the worker heard of it"


@pytest.mark.parametrize("size", [0, 5000])
@pytest.mark.parametrize("restart", [False, True])
def test_a_truncated_ring_costs_what_was_in_it(bench, size, restart):
    writer = writer_in(bench.directory)
    send(writer, 10)
    bench.drain()
    send(writer, 5, 11)
    os.truncate(writer._path, size)
    if restart:
        bench.restart()
    bench.drain()
    send(writer, 5, 16)
    found, dropped = bench.end()
    assert found == [*range(1, 11), *range(16, 21)]
    assert dropped == 5


@pytest.mark.parametrize("restart", [False, True])
def test_a_removed_ring_is_read_on_or_its_loss_counted(bench, restart):
    writer = writer_in(bench.directory, 4096)
    send(writer, 10)
    bench.drain()
    writer._path.unlink()
    if restart:
        bench.restart()
    bench.drain()
    send(writer, 100, 11)
    bench.drain()
    writer._next_look = 0.0
    send(writer, 5, 111)
    found, dropped = bench.end()
    assert found[:10] == list(range(1, 11))
    assert found[-1] == 115
    assert len(found) + dropped == 115


def test_the_ring_of_a_worker_that_ended_is_drained_and_removed(bench, monkeypatch):
    writer = writer_in(bench.directory)
    send(writer, 7)
    bench.drain()
    assert len(list(bench.directory.iterdir())) == 1
    send(writer, 3, 8)
    writer._let_go()
    monkeypatch.setattr("tracer.ring.reader._runs", lambda _pid: False)
    bench.drain()
    assert list(bench.directory.iterdir()) == []
    assert bench.agent.status()["workers"] == 0
    assert bench.end() == (list(range(1, 11)), 0)


def test_a_long_life_of_many_workers_keeps_neither_rings_nor_files(bench, monkeypatch):
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr("tracer.ring.reader._runs", lambda _pid: False)
    for _ in range(30):
        writer = writer_in(bench.directory)
        send(writer, 2)
        writer._let_go()
        bench.drain()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    found, dropped = bench.end()
    assert (len(found), dropped) == (60, 0)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_garbage_in_a_ring_stops_the_agent_or_makes_it_grow(tmp_path_factory, data):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    writer = writer_in(bench.directory, 4096)
    send(writer, 5)
    bench.drain()
    for _ in range(data.draw(st.integers(1, 4))):
        area = data.draw(st.sampled_from([0, ring.HEAD * 8, ring.NAMES_END * 8, ring.TAIL * 8,
                                          ring.DESCRIPTIONS, ring.NAMES, ring.FRAMES]))  # fmt: skip
        place = area + data.draw(st.integers(0, 40))
        noise = data.draw(st.binary(min_size=1, max_size=24) | st.just(b"\xff" * 24))
        if writer._path.exists():
            corrupted(writer._path, place, noise)
        bench.drain()
        send(writer, 2, sent_by(writer) + 1)
        if data.draw(st.booleans()):
            bench.restart()
    bench.drain()
    send(writer_in(bench.directory), 3, 1_000)
    found, dropped = bench.end()
    assert found[:5] == [1, 2, 3, 4, 5]
    assert found[-3:] == [1_000, 1_001, 1_002], "another worker is not harmed"
    assert dropped >= 0
