"""Tests of time may be tried again, once; nothing else may."""

from __future__ import annotations

import signal

import pytest

from tracer.model.current import CURRENT
from tracer.model.timeline import Timeline

MOST_TRIED_AGAIN = 3
"""More of them in a run are no accident of the machine."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timing"):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=1))


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    again = reporter.stats.get("rerun", []) if reporter is not None else []
    if len(again) > MOST_TRIED_AGAIN and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    again = terminalreporter.stats.get("rerun", [])
    if len(again) > MOST_TRIED_AGAIN:
        terminalreporter.write_line(
            f"{len(again)} tests were tried again, {MOST_TRIED_AGAIN} may be: the run has failed"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What is tried again is tried whole: most figures are taken once for their module."""
    if getattr(item, "execution_count", 1) > 1:
        for several in item._fixtureinfo.name2fixturedefs.values():
            for one in several:
                if one.scope == "module":
                    one.finish(item._request)


@pytest.fixture
def timeline():
    """Be in a request."""
    made = Timeline(1, 0, 0, 0)
    token = CURRENT.set(made)
    yield made
    CURRENT.reset(token)


@pytest.fixture
def ctrl_c():
    """Let SIGINT interrupt, here and in what is started: one in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
