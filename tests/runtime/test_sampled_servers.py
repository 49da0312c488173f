"""Sampling on real servers: what is recorded, what it stands for, and that all are counted."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.support.mixed import EVERYWHERE, run
from tests.support.server import (
    ROOT,
    SERVERS,
    Server,
    agents_of,
    environment,
    requests_in,
    tracer,
    wait_for,
)
from tracer.agent.session import open_session
from tracer.recording.reader import Recording
from tracer.settings import sampling as policy

CHECKER = ROOT / "benchmarks" / "check_jsonl.py"
MIXED = 10 * len(EVERYWHERE)
ONE_OF_EACH = ["gunicorn-gthread", "uvicorn-httptools-uvloop"]
BOTH_EARLY_AND_LATE = ["gunicorn-sync", "uvicorn-h11-asyncio"]
"""gunicorn opens a timeline before the request's head is read, uvicorn after it."""
TOP, BOTTOM = "f" * 14, "0" * 14


def served(recording, name, *options):
    record = ("tracer", "run", "--record", str(recording), *options)
    return (*record, "--", sys.executable, "-m", *SERVERS[name])


@pytest.fixture
def env(tmp_path):
    return environment(DEMO_DATABASE=str(tmp_path / "demo.sqlite3"))


@pytest.fixture
def recording(tmp_path):
    return tmp_path / "site.tracer"


def traced(bits, flags="00", **more):
    return {"traceparent": f"00-{'ab' * 9}{bits}-{'b' * 16}-{flags}", **more}


def counts_in(recording):
    """What the workers counted, once the recording has ended."""
    assert wait_for(lambda: not agents_of(recording), 10)
    with Recording(recording) as opened:
        assert not opened.open
        return {name: count for name, count in opened.counts.items() if count}


def summary(recording):
    done = tracer("report", recording, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["configurations"][0]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_half_of_a_mixed_load_is_recorded_tiles_and_stands_for_all_of_it(name, tmp_path):
    wrong, _, recording, output = run(name, MIXED, tmp_path, TRACER_SAMPLE="0.5")
    assert wrong == []
    assert "tracer:" not in output
    counts = counts_in(recording)
    told = tracer("report", recording, "--format", "jsonl").stdout
    checked = subprocess.run(
        [sys.executable, CHECKER, "--count", str(counts["sampled"]), "-"],
        input=told,
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    requests = [json.loads(line) for line in told.splitlines()]
    assert {(one["weight"], one["kept"]) for one in requests} == {(2.0, "rate")}
    assert counts == {"seen": MIXED + 1, "sampled": len(requests)}
    weights = sum(one["weight"] for one in requests)
    assert abs(weights - MIXED - 1) < 5 * math.sqrt(MIXED + 1), "five deviations of a fair coin"
    assert summary(recording)["requests_weighted"] == weights


RULES = (
    *("--sample", "0", "--sample-path", "/block=0", "--sample-path", "/drf/=1"),
    *("--sample-route", "sleep/=1", "--sample-route", "test/=0"),
    *("--keep-slower-than", "1.5s", "--keep-errors"),
)


@pytest.mark.parametrize("name", BOTH_EARLY_AND_LATE)
def test_path_route_slowness_and_failure_decide_what_is_recorded_and_no_trace_id_does(
    name, recording, env, tmp_path
):
    with Server(served(recording, name, *RULES), env, tmp_path / "log") as server:
        for _ in range(5):
            server.ask("/block/?ms=0", headers=traced(TOP))
            server.ask("/drf/", headers=traced(BOTTOM))
            server.ask("/async/", headers=traced(TOP))
            server.ask("/async/", headers=traced(TOP, tracestate="ot=rv:ffffffffffffff"))
            server.ask("/sleep/?ms=0", headers=traced(BOTTOM))
            server.ask("/test/", headers=traced(BOTTOM))
            server.ask("/test/", headers=traced(TOP))
        assert server.ask("/block/?ms=1600")[0] == 200
        assert server.ask("/test/?ms=1", headers=traced(BOTTOM))[0] == 200
        assert server.ask("/raises/")[0] == 500
        assert server.ask("/raises/?kind=missing", headers=traced(BOTTOM))[0] == 404
        server.stop()
    counts = counts_in(recording)
    assert counts == {"seen": 39, "sampled": 10, "kept_slow": 1, "kept_error": 1}
    found = sorted((one["route"], one["kept"], one["weight"]) for one in requests_in(recording))
    assert found == sorted(
        [
            *[("drf/", "rate", 1.0), ("sleep/", "rate", 1.0)] * 5,
            ("block/", "slow", 1.0),
            ("raises/", "error", 1.0),
        ]
    )
    assert {one["trace_id"][:18] for one in requests_in(recording, "--route", "drf/")} == {"ab" * 9}
    text = tracer("report", recording).stdout
    assert "39 requests seen, 10 recorded by sampling, 1 recorded for being slow" in " ".join(
        text.split()
    )


@pytest.mark.parametrize("name", BOTH_EARLY_AND_LATE)
def test_a_callers_flag_is_honoured_up_to_the_limit_and_its_rate_is_not_believed(
    name, recording, env, tmp_path
):
    env = {**env, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    command = served(recording, name, "--remote-limit", "5")
    with Server(command, env, tmp_path / "log") as server:
        began = time.monotonic()
        server.ask("/async/", headers=traced(TOP, "01", tracestate="v=1,ot=th:c"))
        for _ in range(39):
            server.ask("/async/", headers=traced(TOP, "01"))
        seconds = time.monotonic() - began
        server.ask("/async/", headers=traced(TOP, "00"))
        server.ask("/async/")
        server.stop()
    counts = counts_in(recording)
    kept = counts["sampled"]
    assert 5 <= kept <= 5 + 5 * seconds + 1
    assert counts == {"seen": 42, "sampled": kept, "remote_capped": 40 - kept}
    requests = requests_in(recording)
    assert [one["weight"] for one in requests] == [None] * kept
    assert {one["kept"] for one in requests} == {"parent"}
    entry = summary(recording)
    assert entry["requests_weighted"] == kept
    assert entry["requests_of_unknown_weight"] == kept
    text = " ".join(tracer("report", recording).stdout.split())
    assert f"{40 - kept} requests whose caller asked for a record" in text
    assert "count as one each" in text


def test_a_trusted_callers_flag_is_always_honoured(recording, env, tmp_path):
    command = served(recording, "gunicorn-sync", "--sample", "0", "--trust-remote")
    with Server(command, env, tmp_path / "log") as server:
        server.ask("/async/", headers=traced(TOP, "01", tracestate="v=1,ot=th:c"))
        for _ in range(29):
            server.ask("/async/", headers=traced(BOTTOM, "01"))
        server.ask("/async/", headers=traced(TOP, "00"))
        server.stop()
    assert counts_in(recording) == {"seen": 31, "sampled": 30}
    assert [one["weight"] for one in requests_in(recording)] == [4.0, *[None] * 29]


@pytest.mark.parametrize("name", BOTH_EARLY_AND_LATE)
def test_requests_nobody_records_are_counted_even_if_their_worker_is_killed(
    name, recording, env, tmp_path
):
    command = served(recording, name, "--sample", "0")
    with Server(command, env, tmp_path / "log") as server:
        assert b"400" in garbage(server.port)
        assert [server.ask("/async/")[0] for _ in range(20)] == [200] * 20
        time.sleep(0.05)
        assert server.ask("/async/")[0] == 200
        server.stop(signal.SIGKILL)
    assert counts_in(recording) == {"seen": 22}
    done = tracer("report", recording)
    assert done.returncode == 2
    assert "no requests; 22 were seen" in done.stderr


def garbage(port):
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GARB AGE\r\nx\r\n\r\n")
        return connection.recv(4096)


def test_a_connection_without_a_request_is_none(recording, env, tmp_path):
    with Server(served(recording, "gunicorn-sync"), env, tmp_path / "log") as server:
        for _ in range(5):
            socket.create_connection(("127.0.0.1", server.port), 5).close()
        assert server.ask("/async/")[0] == 200
        server.stop()
    assert counts_in(recording) == {"seen": 1, "sampled": 1}


@pytest.mark.parametrize("name", BOTH_EARLY_AND_LATE)
def test_a_server_says_once_what_of_its_environment_is_no_sampling_and_records_all(
    name, recording, env, tmp_path
):
    """`tracer run` refuses it; who makes the environment by hand has a server all the same."""
    with open_session(recording) as session:
        unusable = {
            policy.SAMPLE: "",
            policy.OTEL_SAMPLER: "jaeger_remote",
            policy.SLOWER: "long",
        }
        env = {**session.environment(env), **unusable}
        with Server(SERVERS[name], env, tmp_path / "log") as server:
            assert [server.ask("/async/")[0] for _ in range(3)] == [200] * 3
            server.stop()
        session.sync()
    assert counts_in(recording) == {"seen": 3, "sampled": 3}
    (said,) = [line for line in server.output.splitlines() if "tracer" in line]
    assert "'jaeger_remote' is no sampler" in said
    assert "'long' is no duration" in said
