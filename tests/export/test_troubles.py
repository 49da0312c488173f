"""A backend that is down, slow or overloaded harms no request, and what is lost is counted."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from tests.export.backend import Backend
from tests.support.server import (
    SERVERS,
    Server,
    agents_of,
    environment,
    free_port,
    processes_of,
    requests_in,
    tracer,
    wait_for,
)  # fmt: skip
from tracer.agent.health import agent_statuses
from tracer.recording.file import read_meta

EACH = 8


class Site:
    """A server whose agent exports to a backend that may be there."""

    def __init__(self, directory, port, **variables):
        self.recording = directory / "site.tracer"
        run = (
            "tracer",
            "run",
            "--record",
            str(self.recording),
            "--otlp",
            f"http://127.0.0.1:{port}",
        )
        env = environment(
            DEMO_DATABASE=str(directory / "demo.sqlite3"),
            OTEL_BSP_SCHEDULE_DELAY="50",
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
            **variables,
        )
        command = (*run, "--", sys.executable, "-m", *SERVERS["gunicorn-sync"])
        self.server = Server(command, env, directory / "log")
        self.asked = 0

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def ask(self, times=EACH):
        for _ in range(times):
            assert self.server.ask()[0] == 200
        self.asked += times

    def export(self):
        """What the agent says of its export."""
        (mine,) = [one for one in agent_statuses() if one.get("recording") == str(self.recording)]
        return mine["export"]

    def settled(self):
        """Say whether every request that was asked is accounted for."""
        found = self.export()
        done = found["exported_traces"] + found["failed_traces"] + found["shed_traces"]
        return done == self.asked

    def end(self):
        """End the server; return what the recording says was exported."""
        self.server.stop()
        assert wait_for(lambda: not agents_of(self.recording), 30)
        assert len(requests_in(self.recording)) == self.asked
        return read_meta(self.recording)["export"]


def test_a_backend_in_trouble_harms_no_request_and_is_used_again_when_it_recovers(tmp_path):
    backend = Backend()
    with Site(tmp_path, backend.port) as site:
        site.ask()
        assert wait_for(lambda: len(backend.roots()) == EACH)
        for status, headers in ((503, {}), (429, {"Retry-After": "1"}), (400, {})):
            backend.status, backend.headers = status, headers
            site.ask()
            assert wait_for(site.settled, 60)
        failed = site.export()["failed_traces"]
        assert 0 < failed <= 3 * EACH
        assert f"{failed} failed (" in tracer("doctor").stdout
        backend.status, backend.pause_s = 200, 1.5
        site.ask()
        assert wait_for(site.settled, 60)
        backend.pause_s = 0
        backend.close()
        site.ask()
        assert wait_for(site.settled, 60)
        assert site.export()["error"]
        with Backend(backend.port) as again:
            site.ask()
            assert wait_for(lambda: len(again.roots()) >= EACH)
            said = site.end()
    failed, exported = said["failed_traces"], said["exported_traces"]
    assert failed + exported == site.asked
    assert failed >= 2 * EACH
    done = tracer("report", site.recording, "--format", "json")
    counts = json.loads(done.stdout)["configurations"][0]["counts"]
    assert (counts["exported"], counts["not_exported"]) == (exported, failed)


def test_an_exporting_process_that_is_killed_is_started_again(tmp_path):
    with Backend() as backend, Site(tmp_path, backend.port) as site:
        site.ask()
        assert wait_for(site.settled)
        (agent,) = agents_of(site.recording)
        (pid,) = exporting_processes_of(agent)
        os.kill(pid, signal.SIGKILL)
        site.ask()
        assert wait_for(site.settled, 60)
        site.ask()
        assert wait_for(site.settled, 60)
        said = site.end()
        assert len(backend.roots()) == said["exported_traces"] >= 2 * EACH


def test_what_a_killed_exporting_process_was_sent_has_failed_though_nothing_follows(tmp_path):
    with Backend() as backend, Site(tmp_path, backend.port) as site:
        site.ask()
        assert wait_for(site.settled)
        (agent,) = agents_of(site.recording)
        (pid,) = exporting_processes_of(agent)
        os.kill(pid, signal.SIGSTOP)
        site.ask()
        assert wait_for(lambda: site.export()["waiting"] == EACH)
        os.kill(pid, signal.SIGKILL)
        assert wait_for(site.settled)
        said = site.end()
        assert (said["exported_traces"], said["failed_traces"]) == (EACH, EACH)


def test_whole_traces_are_shed_and_counted_when_the_backend_cannot_keep_up(tmp_path):
    """The queue of spans is short, the backend away: what comes waits, and is shed at the end."""
    with Site(tmp_path, free_port(), OTEL_BSP_MAX_QUEUE_SIZE="64") as site:
        site.ask(5 * EACH)
        assert wait_for(lambda: site.export()["failed_traces"] > 0, 20)
        said = site.end()
    assert said["exported_traces"] == 0
    assert said["failed_traces"] + said["shed_traces"] == site.asked


def test_any_exporter_can_be_named_and_what_the_console_prints_lies_beside_the_recording(tmp_path):
    recording = tmp_path / "site.tracer"
    env = environment(
        DEMO_DATABASE=str(tmp_path / "demo.sqlite3"),
        OTEL_TRACES_EXPORTER="console",
        OTEL_BSP_SCHEDULE_DELAY="50",
    )
    run = ("tracer", "run", "--record", str(recording), "--span-detail", "layers", "--")
    with Server(
        (*run, sys.executable, "-m", *SERVERS["gunicorn-sync"]), env, tmp_path / "log"
    ) as one:
        assert one.ask()[0] == 200
        one.stop()
    assert wait_for(lambda: not agents_of(recording), 30)
    printed = (tmp_path / "site.tracer.console").read_text(encoding="utf-8")
    assert '"name": "GET test/"' in printed
    assert '"name": "view: rest.TestView"' in printed
    assert read_meta(recording)["export"]["exported_traces"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--otlp", "nowhere"], "--otlp: 'nowhere' is no URL"),
        (["--otlp", ""], "--otlp: says nothing"),
        (["--span-detail", "some", "--otlp", "http://a:1"], "--span-detail: 'some' is none of"),
    ],
)
def test_what_cannot_be_used_is_one_line(options, said, tmp_path):
    done = tracer("run", "--record", tmp_path / "r", *options, "--", "true")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_may_be_meant_for_the_application_is_no_reason_to_refuse(tmp_path):
    env = environment(OTEL_BSP_SCHEDULE_DELAY="soon", OTEL_EXPORTER_OTLP_ENDPOINT="http://a:1")
    done = tracer("run", "--record", tmp_path / "r", "--", "true", env=env)
    assert done.returncode == 0
    assert "OTEL_BSP_SCHEDULE_DELAY: 'soon' is no whole number" in done.stderr


def exporting_processes_of(agent):
    return [
        pid
        for pid, words in processes_of("tracer.export.process")
        if words[2:3] == ["tracer.export.process"] and _parent(pid) == agent
    ]


def _parent(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().rpartition(")")[2].split()[1])
