"""Harm to the agent and its rings under load: no answer wrong, no timeline unaccounted for."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.chaos.harm import LONGEST_S, Chaos
from tests.support.server import GUNICORN, agents_of, guardians_of, wait_for

# Latencies under harm are compared with those without: nobody else may add to them.
pytestmark = pytest.mark.alone

# Each with a ring that is full after some forty timelines.
COMMANDS = {
    "wsgi": ((*GUNICORN, "--workers", "2", "demo_site.wsgi"), 128 * 1024),
    "asgi": ("uvicorn-httptools-uvloop", 384 * 1024),
}


@pytest.fixture(scope="module", params=["wsgi", pytest.param("asgi", marks=pytest.mark.slow)])
def chaos(request, tmp_path_factory):
    with Chaos(tmp_path_factory.mktemp(request.param), *COMMANDS[request.param]) as chaos:
        assert chaos.ask(40) == 0
        chaos.workers = {path.name.split("-")[0] for path in chaos.rings()}
        yield chaos
        assert sum(chaos.end()) == chaos.answered


@pytest.fixture(autouse=True)
def goes_on_without_a_restart(chaos):
    """After each harm, what is asked is answered, recorded, and nothing of it dropped."""
    yield
    recorded, dropped = chaos.settled()
    assert recorded + dropped == chaos.answered
    assert chaos.ask(20) == 0
    assert chaos.settled() == (recorded + 20, dropped)
    assert {path.name.split("-")[0] for path in chaos.rings()} <= chaos.workers


def test_harm_to_the_workers_themselves_would_be_noticed(chaos):
    """Else the tests here could not fail by how long requests take."""

    def stop():
        for number, pause_s in ((signal.SIGSTOP, LONGEST_S + 0.05), (signal.SIGCONT, 0)):
            for pid in chaos.workers:
                os.kill(int(pid), number)
            time.sleep(pause_s)

    with pytest.raises(AssertionError, match=r"a request took \d"):
        chaos.under(stop, 300)


def test_agent_killed(chaos):
    def kill():
        (agent,) = agents_of(chaos.path)
        os.kill(agent, signal.SIGKILL)
        assert wait_for(lambda: agents_of(chaos.path) not in ([], [agent]))

    assert chaos.under(kill) == 0


def test_agent_stopped_for_a_second_at_full_load(chaos):
    before = chaos.settled()[1]
    (agent,) = agents_of(chaos.path)

    def stop():
        os.kill(agent, signal.SIGSTOP)
        time.sleep(1)
        assert wait_for(lambda: any(counters.dropped for counters in chaos.counters().values()))
        os.kill(agent, signal.SIGCONT)

    assert chaos.under(stop, 300) == 0
    recorded, dropped = chaos.settled()
    assert recorded + dropped == chaos.answered
    assert dropped > before, "the ring is small here: whole timelines are shed"


def test_agent_slow(chaos):
    (agent,) = agents_of(chaos.path)

    def slow():
        for _ in range(10):
            os.kill(agent, signal.SIGSTOP)
            time.sleep(0.09)
            os.kill(agent, signal.SIGCONT)
            time.sleep(0.01)

    assert chaos.under(slow) == 0


@pytest.mark.parametrize("size", [0, 300_000])
def test_ring_truncated(chaos, size):
    def truncate():
        for path in chaos.rings():
            os.truncate(path, size)

    assert chaos.under(truncate) == 0


def test_ring_removed(chaos):
    def remove():
        for path in chaos.rings():
            path.unlink()

    assert chaos.under(remove) == 0
    assert_each_worker_has_a_ring(chaos)


def assert_each_worker_has_a_ring(chaos):
    """After a second at the latest a ring is missed: by its agent, or by the worker itself."""
    assert wait_for(lambda: chaos.ask(8) == 0 and len(chaos.rings()) == len(chaos.workers), 20)


def test_ring_overwritten_with_garbage(chaos):
    def overwrite():
        for path in chaos.rings():
            with path.open("r+b") as file:
                file.seek(64)
                file.write(b"\xff" * 200)

    assert chaos.under(overwrite) == 0


def test_agent_killed_while_a_ring_is_removed(chaos):
    def harm():
        (agent,) = agents_of(chaos.path)
        os.kill(agent, signal.SIGKILL)
        for path in chaos.rings():
            path.unlink()

    assert chaos.under(harm) == 0
    assert_each_worker_has_a_ring(chaos)


def test_guardian_killed(chaos):
    def kill():
        for pid in guardians_of(chaos.path):
            os.kill(pid, signal.SIGKILL)

    assert chaos.under(kill, 40) == 0
