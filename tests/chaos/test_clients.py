"""Clients and clocks that misbehave, under load: all others get their answers, and all is counted.

The same is done to a server without us: what it answers is what ours has to answer.
"""

from __future__ import annotations

import itertools
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.check_jsonl import check
from tests.chaos import clients
from tests.chaos.harm import LONGEST_S, assert_unharmed
from tests.starting.runs import StartedRun
from tests.support.server import SERVERS, Server, agents_of, environment, tracer, wait_for
from tracer.compare.load import LoadPlan, run_load

# Latencies under harm are compared with those without: nobody else may add to them.
pytestmark = pytest.mark.alone

NAMES = ["gunicorn-sync", "uvicorn-h11-asyncio", "uvicorn-httptools-uvloop"]
TARGETS = ("/test/", "/async/", "/queries/2/", "/stream/sync/?ms=0")
RECORDS = {
    clients.gone_before_a_word: 0,
    clients.gone_in_the_head: 0,
    clients.gone_in_the_body: 1,
    clients.gone_in_the_response: 1,
    clients.half_closed: 1,
    clients.garbage: 1,
    clients.a_header_of_garbage: 1,
    clients.a_header_of_one_megabyte: 1,
    clients.headers_of_w3c_that_are_none: 8,
    clients.paths_that_are_no_utf_8: 5,
}
"""How many requests the server takes each for; what is pipelined it answers or not."""


def load(port):
    """Ask 120 times, two at once."""
    plan = LoadPlan(port=port, targets=TARGETS, requests=120, concurrency=2, timeout_s=10)
    return run_load(plan)


def attack(port):
    """Do all of it once; return what was answered and how many records it makes."""
    answers = {one.__name__: one(port) for one in clients.EVERY}
    return answers, sum(RECORDS.values()) + len(answers["pipelined"])


def attacked_under_load(port):
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load, port)
        rounds = [attack(port)]
        while not loading.done():
            rounds.append(attack(port))
        return loading.result(), rounds


def assert_all_served(result):
    """Wrong or missing responses: none."""
    assert not result.gave_up
    wrong = [one for one in result.answers if one.status != 200 or one.error]
    assert wrong == []
    assert len(result.answers) == 120


def records_of(run, count):
    assert wait_for(lambda: not agents_of(run.recording), 15)
    done = tracer("report", run.recording, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    figures, complaints = check(done.stdout.splitlines(), count)
    assert complaints == [], figures
    return done.stdout


@pytest.mark.parametrize("name", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.slow)])
def test_clients_that_misbehave_harm_nobody_else(tmp_path, name):
    env = environment(DEMO_DATABASE=str(tmp_path / "demo.sqlite3"))
    with Server(SERVERS[name], env, tmp_path / "control") as control:
        usual, rounds = attacked_under_load(control.port)
        expected = rounds[0][0]
        control.stop()
    with StartedRun(tmp_path, ("python", "-m", *SERVERS[name])) as run:
        result, rounds = attacked_under_load(run.server.port)
        time.sleep(0.3)
        run.server.stop()
        assert_all_served(result)
        slowest_s = max(usual.latencies_ns) / 1e9
        assert_unharmed(result.latencies_ns, usual.latencies_ns, slowest_s + LONGEST_S)
        for answers, _ in rounds:
            assert answers == expected
        lines = records_of(run, len(result.answers) + sum(count for _, count in rounds))
    for answer in result.answers:
        assert answer.trace_id in lines, "each request by its own id"
    assert "a" * 32 not in lines, "no trace id of a header that is none"
    said = [line for line in run.server.output.splitlines() if "tracer" in line]
    assert said == []


CLOCK = """
    import itertools, time
    _real, _real_ns, _turn = time.time, time.time_ns, itertools.cycle((0, 86_400, -86_400))
    time.time = lambda: _real() + next(_turn)
    time.time_ns = lambda: _real_ns() + next(_turn) * 1_000_000_000
"""


@pytest.mark.parametrize("name", NAMES[:1])
def test_a_clock_that_is_set_at_every_look_changes_nothing(tmp_path, name):
    """Setting the machine's would harm others: this sets what Python shows of it."""
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(CLOCK))
    with StartedRun(tmp_path, ("python", "-m", *SERVERS[name])) as run:
        result = load(run.server.port)
        time.sleep(0.3)
        run.server.stop()
        assert_all_served(result)
        lines = records_of(run, len(result.answers))
    import json

    found = {one["trace_id"]: one for one in map(json.loads, lines.splitlines())}
    for answer in result.answers:
        request = found[answer.trace_id]
        assert answer.send_ns - 1_000_000_000 < request["start_ns"]
        assert request["end_ns"] <= answer.last_byte_ns + 1_000_000_000
    starts = [request["start_unix_ns"] - request["start_ns"] for request in found.values()]
    assert all(one == other for one, other in itertools.pairwise(starts))
