"""gunicorn in every way of starting, restarting and ending, traced by `tracer run`."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.starting.runs import ASGI, WSGI, StartedRun, children
from tests.support.server import GUNICORN, UVICORN_WORKER, agents_of, requests_in, wait_for

KINDS = {
    "sync": (*GUNICORN, "-w", "2", WSGI),
    "sync-preload": (*GUNICORN, "-w", "2", "--preload", WSGI),
    "uvicorn": (*GUNICORN, "-w", "2", *UVICORN_WORKER, ASGI),
}
AFTER_RESPONSE_S = 0.3
"""What follows a response is a part of its record: a worker killed earlier takes it along."""


@pytest.mark.parametrize(
    "kind", ["sync", *(pytest.param(one, marks=pytest.mark.slow) for one in KINDS if one != "sync")]
)
def test_through_all_its_signals_every_answer_is_recorded(tmp_path, kind):
    with StartedRun(tmp_path, KINDS[kind]) as run:
        assert wait_for(lambda: len(run.workers()) == 2)
        run.ask(4)
        first = run.workers()

        run.signal(signal.SIGHUP)
        run.ask_until(lambda: len(run.workers()) == 2 and not set(first) & set(run.workers()))

        run.signal(signal.SIGTTIN)
        run.ask_until(lambda: len(run.workers()) == 3)
        run.signal(signal.SIGTTOU)
        run.ask_until(lambda: len(run.workers()) == 2)

        killed = run.workers()[0]
        time.sleep(AFTER_RESPONSE_S)
        run.signal(signal.SIGKILL, killed)
        assert wait_for(lambda: len(run.workers()) == 2 and killed not in run.workers())
        run.ask(4)

        slow = run.in_flight()
        time.sleep(AFTER_RESPONSE_S)
        run.signal(signal.SIGTERM)
        slow.join()
        assert run.server.process.wait(20) == 0
        run.assert_counts()


def test_a_worker_that_has_served_its_share_is_followed_by_another(tmp_path):
    with StartedRun(tmp_path, (*KINDS["uvicorn"], "--max-requests", "3")) as run:
        run.ask_until(lambda: run.answered >= 12)
        time.sleep(AFTER_RESPONSE_S)
        run.server.stop()
        run.assert_counts()
    assert len({request["pid"] for request in requests_in(run.recording)}) > 2


@pytest.mark.slow
def test_code_that_changed_is_reloaded_and_traced_again(tmp_path):
    (tmp_path / "site_wsgi.py").write_text("from demo_site.wsgi import application\n")
    with StartedRun(tmp_path, (*GUNICORN, "--reload", "site_wsgi")) as run:
        run.ask(2)
        before = run.workers()
        time.sleep(1)  # the reloader polls, and compares times of whole seconds
        (tmp_path / "site_wsgi.py").touch()
        run.ask_until(lambda: run.workers() and not set(before) & set(run.workers()))
        run.ask(2)
        run.server.stop()
        run.assert_counts()
    assert len({request["pid"] for request in requests_in(run.recording)}) == 2


@pytest.mark.slow
def test_a_master_that_executed_its_successor_hands_its_recording_over(tmp_path):
    with StartedRun(tmp_path, (*GUNICORN, "--pid", str(tmp_path / "pid"), WSGI)) as run:
        run.ask(3)
        old = run.workers()
        run.signal(signal.SIGUSR2)
        (new,) = appeared(lambda: [pid for pid in children(run.pid) if pid not in old])
        run.others.append(new)
        appeared(lambda: children(new))
        time.sleep(AFTER_RESPONSE_S)
        run.signal(signal.SIGQUIT)
        run.server.process.wait(20)
        run.ask(5)
        assert agents_of(run.recording), "its server still runs"
        os.kill(new, signal.SIGTERM)
        assert wait_for(lambda: not running(new))
        run.assert_counts()


def test_a_server_that_goes_into_the_background_keeps_its_agent(tmp_path):
    pid_file = tmp_path / "pid"
    command = (*GUNICORN, "--daemon", "--pid", str(pid_file), WSGI)
    with StartedRun(tmp_path, command, background=True) as run:
        run.server.process.wait(20)
        master = int(pid_file.read_text())
        run.others.append(master)
        run.ask(3)
        assert agents_of(run.recording), "its server still runs"
        os.kill(master, signal.SIGTERM)
        assert wait_for(lambda: not running(master))
        run.assert_counts()


def appeared(find):
    assert wait_for(lambda: bool(find()))
    return find()


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
