"""A bare Jaeger takes traces and no metrics: that is said once, and harms no trace."""

from __future__ import annotations

import json
import sys

import pytest

from tests.backends.jaeger import Jaeger
from tests.support.server import (
    SERVERS,
    Server,
    agents_of,
    environment,
    requests_in,
    tracer,
    wait_for,
)
from tracer.recording.file import read_meta

ASKED = 10
EXPORTS = 4
REFUSED = {"http/protobuf": "404", "grpc": "StatusCode.UNIMPLEMENTED"}


@pytest.mark.parametrize("protocol", REFUSED)
def test_metrics_that_nobody_takes_are_said_once_and_counted_and_traces_arrive(protocol, tmp_path):
    recording = tmp_path / "site.tracer"
    env = environment(
        DEMO_DATABASE=str(tmp_path / "demo.sqlite3"),
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_BSP_SCHEDULE_DELAY="50",
        OTEL_METRIC_EXPORT_INTERVAL="200",
    )
    with Jaeger(tmp_path) as jaeger:
        endpoint = jaeger.grpc_endpoint if protocol == "grpc" else jaeger.endpoint
        run = ("tracer", "run", "--record", str(recording), "--otlp", endpoint)
        command = (*run, "--", sys.executable, "-m", *SERVERS["gunicorn-sync"])
        with Server(command, env, tmp_path / "log") as server:
            for _ in range(ASKED):
                assert server.ask()[0] == 200
            assert wait_for(lambda: agent_of(recording)["failed"] >= EXPORTS, 30)
            assert wait_for(lambda: agent_of(recording)["traces"] == ASKED, 30)
            agent = agent_of(recording)
            shown = tracer("doctor").stdout
            server.stop()
        assert wait_for(lambda: not agents_of(recording), 30)
        assert all(jaeger.trace(one["trace_id"]) for one in requests_in(recording))
    (line,) = agent["log"]
    assert line.startswith("tracer: metrics did not arrive (")
    assert REFUSED[protocol] in line
    assert line.endswith("OTEL_METRICS_EXPORTER=none sends no metrics")
    assert agent["error"] is None
    assert "metrics exported 0 times" in shown
    told = read_meta(recording)["export"]
    assert (told["exported_traces"], told["failed_traces"], told["error"]) == (ASKED, 0, None)
    assert told["metrics"]["exports"] == 0
    assert told["metrics"]["failed_exports"] > EXPORTS
    assert REFUSED[protocol] in told["metrics"]["error"]


def agent_of(recording):
    """What `tracer doctor` knows of this recording's agent."""
    agents = json.loads(tracer("doctor", "--json").stdout)["agents"]
    (mine,) = [one for one in agents if one.get("recording") == str(recording)]
    export = mine["export"]
    return {
        "log": mine["log"],
        "error": export["error"],
        "traces": export["exported_traces"],
        "failed": export.get("metrics", {"failed_exports": 0})["failed_exports"],
    }
