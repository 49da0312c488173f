"""The benchmarks still run: as little as possible of each, on real processes.

Figures of such short runs mean nothing; that they are there and add up does.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import (
    agent,
    export,
    footprint,
    inprocess,
    instructions,
    options,
    replicate,
    sockets,
)
from benchmarks.machine import ROOT, cores, cpu_ns, pinned
from benchmarks.pairing import ChildError, drive
from benchmarks.stats import Series, difference, ratio
from benchmarks.venvs import PeerError


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Options for the least of everything, into a folder of this module's own."""
    return replace(
        options.quick(),
        out=tmp_path_factory.mktemp("bench"),
        interfaces=("wsgi",),
        variants=("full",),
        peers=False,
        rounds=2,
        batch=3,
        warmup=3,
        socket_generations=2,
        socket_rounds=1,
        socket_seconds=0.1,
        footprint_runs=1,
        captured=3,
        exported=3,
        report_requests=7,
    )


@pytest.fixture(scope="module")
def measured(small):
    """What every cheap part found, written where the command looks for it.

    All at once: nobody looks at the figures.
    """
    parts = {
        "inprocess": inprocess,
        "sockets": sockets,
        "agent": agent,
        "export": export,
        "footprint": footprint,
    }
    with ThreadPoolExecutor(len(parts)) as pool:
        running = {name: pool.submit(part.run, small) for name, part in parts.items()}
        found = {name: one.result() for name, one in running.items()}
    for name, figures in found.items():
        written = {"machine": command.description(), "quick": True, **figures}
        (small.out / f"{name}.json").write_text(json.dumps(written))
    return found


def test_paired_processes_tell_what_was_added(measured):
    figures = measured["inprocess"]["wsgi"]
    assert list(figures) == ["off", "full"]
    assert [one["requests"] for one in figures.values()] == [6, 6]
    full = figures["full"]
    low, high = full["added_p50_ns"]["ci95"]
    assert low <= full["added_p50_ns"]["value"] <= high
    assert all(figures[name][key] > 0 for name in figures for key in ("p50_ns", "cpu_ns"))


def test_what_was_sent_over_sockets_is_recorded_or_dropped(measured):
    figures = measured["sockets"]["wsgi"]
    assert figures["recorded"] + figures["dropped"] == figures["traced"]["sent"]
    assert figures["untraced"]["cpu_ns"] > 0
    assert figures["ratio_throughput"]["value"] > 0
    exported = figures["exported"]
    assert exported["exported"] + exported["not_exported"] == exported["sent"]


def test_replicated_timelines_are_all_recorded(measured):
    fed, told = measured["agent"]["agent"], measured["agent"]["report"]
    assert fed["timelines"] == 9, "whole stretches of 3, until there are 7"
    assert (told["recorded"], told["dropped"]) == (9, 0)
    assert 0 < fed["peak_own_bytes"] <= fed["peak_rss_bytes"]
    assert fed["cpu_ns"] > 0


def test_every_trace_is_exported_at_every_level(measured):
    levels = measured["export"]["levels"]
    assert {one["exported_traces"] for one in levels.values()} == {3}
    spans = [levels[name]["spans_per_trace"] for name in ("layers", "handoffs", "all")]
    assert 10 < spans[0] < spans[1] < spans[2]


def test_import_and_starts_are_measured(measured):
    figures = measured["footprint"]
    assert 0 < figures["worker"]["import_ns"] < figures["worker"]["install_ns"]
    assert figures["site_start"]["traced_ns"] > 0


def test_tables_are_made_of_what_was_measured(measured, small, capsys):
    assert command.main(["--no-run", "--out", str(small.out)]) == 0
    shown = capsys.readouterr().out
    assert "| `tracer report` over 1,000,000 requests |" in shown
    assert "not measured (instructions)" in shown
    assert "A smoke run: its figures mean nothing." in shown
    rows = [line for line in shown.splitlines() if line.startswith("| WSGI | **this tracer")]
    assert len(rows) == 1


def test_figures_of_a_smoke_run_stay_out_of_the_documents(measured, small, capsys):
    before = command.DOCUMENT.read_text()
    assert command.main(["--no-run", "--write-docs", "--out", str(small.out)]) == 2
    assert "smoke" in capsys.readouterr().err
    assert command.DOCUMENT.read_text() == before


def test_tables_replace_only_what_is_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- benchmarks: begin -->\nold\n<!-- benchmarks: end -->\nbelow\n")
    command.write_docs("| new |\n", page)
    text = page.read_text()
    assert text.startswith("above\n")
    assert text.endswith("\nbelow\n")
    assert "| new |" in text
    assert "old" not in text
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="no place for tables"):
        command.write_docs("| new |\n", page)


def test_the_document_has_a_place_for_the_tables(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(command.DOCUMENT.read_text())
    command.write_docs("| new |\n", page)
    assert "| new |" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "'nope' is none of inprocess"),
        (["--variants", "full,nope"], "'nope' is none of off"),
        (["--interfaces", "http3"], "'http3' is none of wsgi"),
    ],
)
def test_an_unknown_name_is_said_to_be_one(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_without_any_figures_there_are_no_tables(tmp_path, capsys):
    assert command.main(["--no-run", "--out", str(tmp_path)]) == 2
    assert "nothing was measured yet" in capsys.readouterr().err


def test_peers_that_cannot_be_installed_or_started_are_told_and_left_out(small, monkeypatch):
    def python_of(name):
        if name == "otel":
            raise PeerError("no otel for this interpreter")
        return sys.executable  # which has no such peer

    monkeypatch.setattr(inprocess, "PEERS", ("otel", "elastic"))
    monkeypatch.setattr(inprocess, "python_of", python_of)
    monkeypatch.setattr(inprocess, "version_in", lambda *_: "2.0")
    found = inprocess.run(replace(small, variants=(), rounds=1, peers=True))
    told = {name: peer["wsgi"]["failed"] for name, peer in found["peers"].items()}
    assert told["otel"] == "can't be installed: no otel for this interpreter"
    assert told["elastic"] == "doesn't start: ModuleNotFoundError: No module named 'elasticapm'"
    assert found["wsgi"]["off"]["requests"] == 3


def test_a_child_that_stops_is_left_out_and_the_others_go_on():
    class Fake:
        def __init__(self, patience):
            self.patience = patience
            self.asked = []

        def ask(self, _task, count):
            self.asked.append(count)
            if len(self.asked) > self.patience:
                raise ChildError("enough")
            return {"latencies_ns": [1] * count, "cpu_ns": 2}

    good, bad = Fake(9), Fake(2)
    series, failed = drive({"good": good, "bad": bad}, rounds=3, batch=5, warmup=7)
    assert good.asked == [7, 5, 5, 5]
    assert bad.asked == [7, 5, 5]
    assert failed == {"bad": "stopped: enough"}
    assert series["good"].latencies.shape == (3, 5)


def test_without_valgrind_the_instructions_are_missing_and_nothing_else(small, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert instructions.run(small)["failed"] == "valgrind is not installed"


@pytest.mark.parametrize("name", importlib.import_module("benchmarks.peers").PEERS)
def test_every_peer_says_what_the_benchmark_asks(name):
    module = importlib.import_module(f"benchmarks.peers.{name}")
    assert module.DISTRIBUTION in module.REQUIREMENTS
    assert module.TITLE
    assert callable(module.start)


def test_differences_and_ratios_are_of_pairs():
    base = np.array([100.0, 200.0, 400.0])
    assert difference(base + 7, base) == {"value": 7.0, "ci95": [7.0, 7.0]}
    assert ratio(base * 1.5, base) == {"value": 1.5, "ci95": [1.5, 1.5]}


def test_a_series_adds_what_it_adds_at_the_median_and_at_the_tail():
    base = Series.of([(list(range(100, 200)), 10.0), (list(range(300, 400)), 30.0)])
    ours = Series.of([(list(range(150, 250)), 15.0), (list(range(350, 450)), 35.0)])
    found = ours.against(base)
    assert found["added_p50_ns"]["value"] == 50
    assert found["added_p99_ns"] == {"value": 50.0, "ci95": [50.0, 50.0]}
    assert found["added_cpu_ns"]["value"] == 5
    assert found["ratio_cpu"]["value"] == 1.25
    assert ours.figures()["requests"] == 200


def test_cpu_time_of_another_process_counts_its_ended_threads():
    code = (
        "import threading, time, sys\n"
        "def spin():\n"
        "    while time.thread_time() < 0.2: pass\n"
        "one = threading.Thread(target=spin); one.start(); one.join()\n"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        process.stdout.readline()
        assert cpu_ns(process.pid) > 200_000_000


def test_frames_of_another_layout_are_refused(tmp_path, small):
    captured = tmp_path / "captured.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.capture", "wsgi", "2", str(captured)],
        cwd=ROOT,
        check=True,
    )
    assert replicate.read(captured).timelines == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicate, "_LATER_NS", -1_000_000_000_000)
        with pytest.raises(ValueError, match="laid out otherwise"):
            replicate.read(captured)


def test_the_cores_are_the_same_for_who_is_pinned_already():
    before = cores()
    with pinned(before[1]):
        assert cores() == before
