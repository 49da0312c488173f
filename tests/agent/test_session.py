from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.server import (
    ROOT,
    agents_of,
    environment,
    guardians_of,
    requests_in,
    tracer,
    wait_for,
)
from tracer.agent.session import AgentError, open_session, sync_with
from tracer.launch.spawn import RING_DIRECTORY
from tracer.model import frames
from tracer.model.timeline import DONE, LAST, STEP, Timeline
from tracer.model.timeline import ROOT as ROOT_TRACK
from tracer.recording.reader import Recording
from tracer.ring.writer import RingWriter


@pytest.fixture
def path(tmp_path):
    return tmp_path / "site.tracer"


def ring_of(session):
    directory = Path(session.environment({})[RING_DIRECTORY])
    writer = RingWriter(directory, 1 << 20)
    writer.describe({"pid": os.getpid()})
    return writer, directory


def write(writer, count=1, names=("wsgi",)):
    for number in range(count):
        timeline = Timeline(number + 1, 1_000, 0, 1)
        for mark in ((STEP, 1_000, 1, ROOT_TRACK), (LAST, 1_500, 1, 0), (DONE, 1_600, 1, 0)):
            timeline.append(mark)
        frame = frames.encode_timeline(timeline, timeline.finish(), 1_700, (number, 1, None))
        writer.write([(frames.TIMELINE, frame)], list(names) if number == 0 else [])


def count(path):
    with Recording(path) as recording:
        return recording.count()


def test_what_was_handed_over_is_in_the_recording_after_sync_and_after_close(path):
    with open_session(path) as session:
        writer, directory = ring_of(session)
        write(writer, 3)
        session.sync()
        assert count(path) == 3
        write(writer, 2)
    assert count(path) == 5
    assert not directory.exists()
    assert wait_for(lambda: not agents_of(path))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_recording_just_begun_is_read_as_empty(path):
    with open_session(path):
        assert count(path) == 0
        done = tracer("report", path, "--format", "jsonl")
        assert (done.returncode, done.stdout) == (0, "")


def test_the_report_of_a_live_recording_asks_its_agent_to_catch_up(path):
    with open_session(path) as session:
        write(ring_of(session)[0], 4)
        assert len(requests_in(path)) == 4


def test_closing_twice_is_harmless(path):
    session = open_session(path)
    session.close()
    session.close()
    assert count(path) == 0


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_a_killed_agent_and_guardian_leave_what_was_written(path):
    session = open_session(path)
    writer, directory = ring_of(session)
    write(writer, 3)
    session.sync()
    kill([*guardians_of(path), *agents_of(path)])
    assert wait_for(lambda: not agents_of(path))
    write(writer, 3)
    assert len(requests_in(path)) == 3
    shutil.copytree(path.parent, path.parent.parent / "elsewhere")
    assert len(requests_in(path.parent.parent / "elsewhere" / path.name)) == 3
    with pytest.raises(AgentError, match="agent"):
        session.close()
    shutil.rmtree(directory)


def test_a_killed_agents_recording_can_be_replaced(path):
    _, directory = ring_of(open_session(path))
    kill([*guardians_of(path), *agents_of(path)])
    assert wait_for(lambda: not agents_of(path))
    shutil.rmtree(directory)
    with open_session(path) as session:
        write(ring_of(session)[0], 1)
    assert count(path) == 1


def test_a_recording_that_is_being_written_is_not_taken_from_its_agent(path):
    with open_session(path) as session:
        with pytest.raises(AgentError, match="being written"):
            open_session(path)
        write(ring_of(session)[0], 2)
    assert count(path) == 2


@pytest.fixture
def refused(tmp_path_factory, monkeypatch):
    """Say why no agent takes a path; and that nothing is left of the attempt."""
    home = tmp_path_factory.mktemp("rings")
    monkeypatch.setenv("TRACER_RING_HOME", str(home))

    def why(path):
        with pytest.raises(AgentError) as caught:
            open_session(path)
        text = str(caught.value)
        assert "\n" not in text
        assert path.name in text
        assert list(home.iterdir()) == []
        assert not agents_of(path)
        return text

    return why


@pytest.mark.parametrize("content", [b"precious", b"SQLite format 3\0" * 20])
def test_a_foreign_file_stays_as_it_is(refused, path, content):
    path.write_bytes(content)
    assert "not replaced" in refused(path)
    assert path.read_bytes() == content


def test_directories_pipes_and_places_that_cannot_be_written_are_refused(refused, tmp_path):
    refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file" / "site.tracer")
    refused(Path("/proc/site.tracer"))


def test_a_missing_directory_is_made(tmp_path):
    with open_session(tmp_path / "new" / "deep" / "site.tracer"):
        pass
    assert count(tmp_path / "new" / "deep" / "site.tracer") == 0


def test_garbage_in_the_ring_directory_hinders_no_other_worker(path):
    with open_session(path) as session:
        writer, directory = ring_of(session)
        (directory / "9-0.ring").write_bytes(b"garbage" * 1_000)
        (directory / "8-0.ring").mkdir()
        write(writer, 2)
        session.sync()
        second = RingWriter(directory, 1 << 16)
        write(second, 2)
        (other,) = (one for one in directory.glob("*-0.ring") if one.name == second._path.name)
        damaged = bytearray(other.read_bytes())
        damaged[64:72] = b"\xff" * 8
        with other.open("r+b") as file:
            file.write(damaged)
        write(writer, 1)
    assert count(path) >= 3


@pytest.mark.parametrize("frame", [b"", b"short", b"\xff" * 600])
def test_a_frame_of_nonsense_costs_only_itself(path, frame):
    with open_session(path) as session:
        writer, _ = ring_of(session)
        writer.write([(frames.TIMELINE, frame)], ["wsgi"])
        writer.write([(frames.OCCUPANCY, frame)], [])
        writer.write([(77, frame)], [])
        write(writer, 2, names=())
        session.sync()
        assert len(requests_in(path)) == 2


def test_what_a_full_ring_dropped_is_counted(path):
    with open_session(path) as session:
        writer, _ = ring_of(session)
        for _ in range(3):
            writer.write([(frames.TIMELINE, b"x" * (1 << 20))], [])
        session.sync()
        with Recording(path) as recording:
            assert recording.dropped == 3


def test_nonsense_on_the_socket_does_not_stop_the_agent(path):
    import socket

    with open_session(path) as session:
        writer, directory = ring_of(session)
        for question in (b"", b"nonsense\n", b"\xff" * 1_000):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(directory / "agent.sock"))
                connection.sendall(question)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(directory / "agent.sock"))
            write(writer, 1)
            session.sync()
    assert count(path) == 1


def test_no_agent_answers_where_there_is_none(tmp_path):
    assert not sync_with(str(tmp_path / "none.sock"))
    assert not sync_with("")
    assert not sync_with("x" * 300)


def test_an_agent_ends_when_the_process_it_belongs_to_ends(path):
    code = (
        "import sys; from pathlib import Path; from tracer.agent.session import open_session\n"
        "open_session(Path(sys.argv[1])); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    ) as owner:
        owner.stdout.readline()
        assert len(agents_of(path)) == 1
        owner.kill()
        began = time.monotonic()
        assert wait_for(lambda: not agents_of(path))
        assert time.monotonic() - began < 3
    with Recording(path) as recording:
        assert not recording.open
