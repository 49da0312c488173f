from __future__ import annotations

import pytest

from tests.truth.runs import TruthRun

_runs: dict[tuple[str, ...], TruthRun] = {}


def pytest_runtest_setup(item):
    if getattr(item, "execution_count", 1) > 1:
        _runs.clear()


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """Give the run of a server with a stack; each is made once."""

    def run(name, stack, *scenarios, **environment):
        key = (name, stack, *scenarios, *environment)
        if key not in _runs:
            directory = tmp_path_factory.mktemp(name)
            _runs[key] = TruthRun(name, directory, stack, scenarios, environment)
        return _runs[key]

    return run
