from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tracer.compare import run as plan_module
from tracer.compare.experiment import Configuration, Experiment
from tracer.compare.load import LoadPlan
from tracer.compare.run import (
    NothingMeasuredError,
    run_experiment,
    schedule,
)
from tracer.compare.servers import ServerError
from tracer.compare.tracing import Tracing


class StandInSession:
    """Lets the server write down whom it served, as the agent would."""

    def __init__(self, path):
        self.path = path
        self.synced = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def environment(self, base):
        return {**base, "SEEN": str(self.path)}

    def sync(self):
        self.synced += 1


class StandInRecording:
    seams = ()
    dropped = 0

    def __init__(self, path):
        self.environment = {"python": "3"}
        self.lines = Path(path).read_text().splitlines()

    def requests(self, clients, network_floor_ns):
        assert network_floor_ns > 0
        for line in self.lines:
            status, header, instant = line.split()
            trace_id = header.split("-")[1]
            client = clients.get(trace_id)
            if client is not None:
                assert client.send_ns < int(instant)
            yield SimpleNamespace(trace_id=trace_id, status=int(status), client=client)


@contextlib.contextmanager
def read(path):
    yield StandInRecording(path)


TRACING = Tracing(StandInSession, read)


def experiment(command, **changes):
    load = changes.pop("load", LoadPlan(port=0, requests=20, warmup=5))
    return Experiment(
        configurations=(Configuration("a", command), Configuration("b", command)),
        load=load,
        **{"rounds": 3, "warmup_requests": 10, "floor_requests": 50, **changes},
    )


def test_rounds_are_interleaved_with_control_rounds_between():
    steps = list(schedule(2, 4))
    traced = [step.configuration for step in steps if step.traced]
    control = [step.configuration for step in steps if not step.traced]
    assert traced == [0, 1, 1, 0, 0, 1, 1, 0]
    assert control == traced
    assert [step.round for step in steps] == [n for n in range(4) for _ in range(4)]
    kinds = [step.traced for step in steps]
    assert not any(kinds[i] == kinds[i + 1] == kinds[i + 2] for i in range(len(kinds) - 2))


def test_every_configuration_has_every_round(command, ends):
    outcome = run_experiment(experiment(command), TRACING)
    assert not outcome.interrupted
    assert outcome.failure is None
    assert outcome.rounds == 3
    for one in outcome.measurements:
        assert sorted((r.number, r.traced) for r in one.rounds) == [
            (n, traced) for n in range(3) for traced in (False, True)
        ]
        for r in one.rounds:
            assert len(r.latencies_ns) == 20
            assert len(r.requests) == (20 if r.traced else 0)
            assert all(request.client is not None for request in r.requests)
        assert len(one.network_floor_ns) == 50
        assert one.notes == ()
        assert one.environment == {"python": "3"}
    assert ends(command.split()[1])


def test_recordings_are_kept_where_asked(command, tmp_path):
    kept = tmp_path / "new" / "kept"
    run_experiment(experiment(command, rounds=1, record_directory=kept, suffix="-x"), TRACING)
    assert sorted(path.name for path in kept.iterdir()) == ["a-x.tracer", "b-x.tracer"]


@pytest.mark.parametrize("include", [False, True])
def test_errors_are_counted_and_compared_only_if_asked(command, include):
    load = LoadPlan(port=0, targets=("/", "/500"), requests=10)
    one = experiment(command, load=load, rounds=1, include_errors=include)
    measured = run_experiment(one, TRACING).measurements[0]
    traced = next(r for r in measured.rounds if r.traced)
    assert traced.errors == 5
    assert len(traced.requests) == len(traced.latencies_ns) == (10 if include else 5)
    assert measured.notes == ("10 of 20 requests were answered 500",)


def test_only_errors_are_no_measurement(command, ends):
    load = LoadPlan(port=0, targets=("/500",), requests=10)
    with pytest.raises(ServerError, match="every request of 'a' to /500 was answered 500"):
        run_experiment(experiment(command, load=load), TRACING)
    assert ends(command.split()[1])


def interrupt_at(monkeypatch, number):
    calls = []
    real = plan_module.run_load

    def run_load(plan):
        calls.append(plan)
        if len(calls) == number:
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
            return real(LoadPlan(port=plan.port, targets=("/hang",), requests=1))
        return real(plan)

    monkeypatch.setattr(plan_module, "run_load", run_load)


def test_ctrl_c_reports_the_rounds_done_so_far(command, ends, monkeypatch):
    interrupt_at(monkeypatch, 6 + 7)  # two sides warm up in six stretches
    outcome = run_experiment(experiment(command), TRACING)
    assert outcome.interrupted
    assert outcome.rounds == 1
    assert [len(one.rounds) for one in outcome.measurements] == [2, 4]
    assert ends(command.split()[1])


def test_ctrl_c_before_the_first_round_leaves_nothing(command, ends, monkeypatch):
    interrupt_at(monkeypatch, 6 + 2)
    with pytest.raises(NothingMeasuredError):
        run_experiment(experiment(command), TRACING)
    assert ends(command.split()[1])


def test_a_server_that_dies_on_the_way_ends_the_rounds(command, ends):
    dying = f"DIES_AT=90 {command}"
    outcome = run_experiment(experiment(dying), TRACING)
    assert outcome.failure.endswith("stopped answering")
    assert 1 <= outcome.rounds < 3
    assert ends(command.split()[1])


def test_a_server_that_closes_is_compared_with_an_echo_that_does(command, monkeypatch):
    asked = []
    real = plan_module.measure_floor
    monkeypatch.setattr(
        plan_module,
        "measure_floor",
        lambda plan, count, **more: asked.append(plan.connection) or real(plan, count, **more),
    )
    close = LoadPlan(port=0, requests=10, connection="close")
    run_experiment(experiment(command, rounds=1, load=close), TRACING)
    assert asked == ["close"]
