"""Stacks for a comparison: taken after the rounds, apart from all that was measured."""

from __future__ import annotations

import functools
import os
import signal
import stat
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.compare.test_run import TRACING, StandInSession, experiment, read
from tests.reports.pages import data_in
from tracer.agent.session import open_session
from tracer.commands import main
from tracer.compare import stacks as stacked_module
from tracer.compare.report import document_of, views_of
from tracer.compare.run import run_experiment
from tracer.compare.tracing import Tracing
from tracer.recording.reader import Recording

ROOT = Path(__file__).resolve().parents[2]
FLAME = {"TRACER_FLAME": "all", "TRACER_FLAME_SOURCE": "exact"}
COMMANDS = {
    "wsgi": "gunicorn demo_site.wsgi --workers 1",
    "asgi": "uvicorn demo_site.asgi:application --lifespan off",
}


def compare(*arguments):
    """Run `tracer compare` of the demo under two small servers."""
    given = [f"--config={name}={sys.executable} -m {one}" for name, one in COMMANDS.items()]
    load = ["--path", "/test/", "--rounds", "2", "--requests", "6", "--concurrency", "1"]
    return CliRunner().invoke(main, ["compare", *given, *load, *arguments])


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of a comparison with `--flame`."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("DEMO_DATABASE", str(folder / "demo.sqlite3"))
        patch.setattr(stacked_module, "REQUESTS", 8)
        done = compare(
            "--flame", "--flame-source", "exact", "--json", str(folder / "comparison.json"),
            "--html", str(folder / "page.html"), "--record", str(folder),
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder


def test_no_measured_request_was_armed(compared):
    for name in COMMANDS:
        with Recording(compared / f"{name}.tracer") as opened:
            assert opened.with_stacks() == frozenset()
            assert opened.count() >= 12
    (view,) = data_in(compared / "page.html")["views"]
    for entry in view["document"]["configurations"]:
        assert entry["requests"] == 12, "two rounds of six and nothing else"


def test_all_that_it_wrote_is_for_its_user_only(compared):
    written = [path for path in compared.rglob("*") if path.suffix in {".json", ".html", ".tracer"}]
    assert len(written) >= 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}


def test_the_page_has_each_sides_flames_and_their_difference(compared):
    (view,) = data_in(compared / "page.html")["views"]
    pictures, steps = view["flames"]["pictures"], view["flames"]["steps"]
    kinds = [one["kind"] for one in pictures]
    assert kinds[:3] == ["difference", "aggregate", "aggregate"]
    assert pictures[0]["names"] == list(COMMANDS)
    names = " ".join(step[0] for step in steps)
    assert "demo_site.views" in names
    assert "rest_framework.views:APIView.dispatch" in names
    layers = {layer for one in pictures[1:3] for layer in one["views"][0]["layers"]}
    assert {"server", "handler", "handoff", "middleware", "view", "network"} <= layers


def test_the_flames_of_its_requests_sum_to_their_breakdowns(compared):
    """By recordings of their own, which `tracer flame` reads too."""
    for name in COMMANDS:
        with Recording(compared / "flame" / f"{name}.tracer") as opened:
            assert len(opened.with_stacks()) >= 8
    (view,) = data_in(compared / "page.html")["views"]
    alone = [one for one in view["flames"]["pictures"] if one["kind"] == "request"]
    assert alone
    for picture in alone:
        by_time, *_, by_stack = picture["views"]
        end = max(x + width for x, width, *_ in by_stack["rectangles"])
        assert by_time["layers"] == by_stack["layers"]
        assert sum(by_time["layers"].values()) == end
        shown = max(x + width for x, width, *_ in by_time["rectangles"])
        assert shown <= end


def test_it_says_with_which_options_it_is_done_again(compared):
    (view,) = data_in(compared / "page.html")["views"]
    (command,) = view["repeat"]
    assert command.endswith("--connection keep-alive --flame --flame-source exact")


class Stacked(StandInSession):
    """A session whose servers are told to take stacks by a policy."""

    def __init__(self, path, policy=None):
        super().__init__(path)
        self.policy = policy

    def environment(self, base):
        return {**super().environment(base), **(self.policy or {})}


def test_what_was_measured_stands_where_no_stacks_can_be_taken(command, ends):
    one = experiment(command, rounds=1, flame={**FLAME, "DIES_AT": "1"}, ready_timeout_s=5)
    outcome = run_experiment(one, Tracing(Stacked, read))
    assert outcome.rounds == 1
    assert outcome.failure is None
    assert outcome.stacked.taken == ()
    assert outcome.stacked.failure.startswith("not all stacks could be taken: ")
    assert ends(command.split()[1])


def test_ctrl_c_among_the_stacks_keeps_what_was_measured(command, ends, monkeypatch):
    def interrupted(*_):
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Event().wait(30)

    monkeypatch.setattr(stacked_module, "run_load", interrupted)
    one = experiment(command, rounds=1, flame=FLAME)
    outcome = run_experiment(one, Tracing(Stacked, read))
    assert (outcome.rounds, outcome.interrupted) == (1, False)
    assert outcome.stacked.failure.startswith("interrupted")
    assert ends(command.split()[1])


def test_without_being_asked_for_none_are_taken(command):
    assert run_experiment(experiment(command, rounds=1), TRACING).stacked is None


def test_a_server_that_takes_no_stacks_is_told_not_drawn(command):
    one = experiment(command, rounds=1, flame=FLAME)
    outcome = run_experiment(
        one, Tracing(functools.partial(open_session, conclude=False), Recording)
    )
    assert outcome.stacked.taken == ((), ())
    (view,) = views_of([document_of(one, outcome)], [(one, outcome)])
    assert view["flames"]["pictures"] == []
    assert view["flames"]["how"].startswith("No request could be armed")
