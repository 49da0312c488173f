from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.agent.rings import recorded, send, writer_in
from tests.export.backend import Backend
from tests.support.server import (
    Server,
    agents_of,
    environment,
    guardians_of,
    requests_in,
    tracer,
    wait_for,
)
from tracer.recording.reader import Recording
from tracer.ring.directory import directory_of


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("TRACER_RING_HOME", str(home))
    return home


@pytest.fixture
def by_hand(tmp_path, home):
    """Start `tracer agent`; give the process and the directory it names."""
    started = []

    def start(*arguments):
        words = [sys.executable, "-m", "tracer", "agent", *map(str, arguments)]
        process = subprocess.Popen(
            words, env=environment(TRACER_RING_HOME=str(home)), stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, process.stdout.readline().strip().partition("=")

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_records_until_it_is_told_to_stop(tmp_path, home, by_hand, number):
    path = tmp_path / "site.tracer"
    process, (name, _, directory) = by_hand("--record", path)
    assert (name, directory) == ("TRACER_RING_DIRECTORY", str(directory_of(path)))
    send(writer_in(directory_of(path)), 5)
    process.send_signal(number)
    assert process.wait(20) == 0
    assert recorded(path) == ([1, 2, 3, 4, 5], 0)
    assert wait_for(lambda: not agents_of(path) and not guardians_of(path))
    assert list(home.iterdir()) == []


def test_killed_itself_its_agent_ends_with_the_last_worker(tmp_path, home, by_hand):
    path = tmp_path / "site.tracer"
    process, _ = by_hand("--record", path, "--directory", home / "meet")
    process.kill()
    assert wait_for(lambda: not agents_of(path))
    assert list(home.iterdir()) == []


APPLICATION = """
import tracer, demo_site.wsgi
application = tracer.wrap(demo_site.wsgi.application)
"""
WRAPPED = ("gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "wrapped")


@pytest.fixture
def env(tmp_path, home):
    (tmp_path / "wrapped.py").write_text(APPLICATION)
    database = str(tmp_path / "demo.sqlite3")
    return environment(tmp_path, TRACER_RING_HOME=str(home), DEMO_DATABASE=database)


def recorded_in_all(path):
    """Count the requests in a recording and in those that were ended before it."""
    count = 0
    for one in path.parent.glob(f"{path.stem}*{path.suffix}"):
        with Recording(one) as recording:
            assert (recording.open, recording.dropped) == (False, 0)
            count += recording.count()
    return count


@pytest.fixture
def backend():
    with Backend() as one:
        yield one


def test_a_wrapped_server_is_recorded_by_an_agent_started_by_hand(tmp_path, env, by_hand, backend):
    path, former = tmp_path / "site.tracer", tmp_path / "site.0001.tracer"
    process, (name, _, directory) = by_hand(
        "--record", path, "--rotate-age", "1s", "--otlp", backend.url
    )
    with Server(WRAPPED, {**env, name: directory}, tmp_path / "log") as server:
        assert [server.ask()[0] for _ in range(6)] == [200] * 6
        assert wait_for(former.exists)
        assert server.ask()[0] == 200
        server.stop()
    process.terminate()
    assert process.wait(20) == 0
    assert 1 <= len(requests_in(former)) <= 6
    assert recorded_in_all(path) == len(backend.roots()) == 7


def test_a_wrapped_server_that_is_given_a_recording_starts_one_agent_itself(
    tmp_path, env, home, backend
):
    path, former = tmp_path / "site.tracer", tmp_path / "site.0001.tracer"
    variables = {"TRACER_RECORD": str(path), "TRACER_ROTATE_AGE": "2s", "TRACER_OTLP": backend.url}
    with Server(WRAPPED, {**env, **variables}, tmp_path / "log") as server:
        assert not agents_of(path)
        assert [server.ask()[0] for _ in range(8)] == [200] * 8
        assert wait_for(lambda: path.exists() and agents_of(path))
        assert len(agents_of(path)) == len(guardians_of(path)) == 1
        assert wait_for(former.exists)
        assert server.ask()[0] == 200
        server.stop()
        assert "tracer" not in server.output
    assert wait_for(lambda: not agents_of(path) and not guardians_of(path))
    assert 1 <= len(requests_in(former)) <= 8
    assert recorded_in_all(path) == len(backend.roots()) == 9
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--record"),
        (["--record", "/proc/x"], "/proc/x"),
        (["--record", "/"], "directory"),
        (["--record", "x", "--rotate-size", "1kB"], "--rotate-size: '1kB' is no size"),
        (["--record", "x", "--directory", "/etc"], "other users may enter"),
        (["--record", "x", "--directory", "/proc/nowhere/at/all"], "cannot be made"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, home, arguments, said):
    done = tracer("agent", *arguments, cwd=tmp_path, env=environment(TRACER_RING_HOME=str(home)))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.strip().splitlines()[-1]
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error: ")]) == 1


def test_a_second_agent_is_refused(tmp_path, by_hand, home):
    by_hand("--record", tmp_path / "site.tracer")
    done = tracer(
        "agent", "--record", tmp_path / "site.tracer", env=environment(TRACER_RING_HOME=str(home))
    )
    assert done.returncode == 2
    assert "another agent serves it" in done.stderr
