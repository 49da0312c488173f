"""Only tests marked `timing` are tried again, once, and at most three of them in a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = """
import pathlib
import pytest

TRIED = pathlib.Path(__file__).with_suffix(".tried")

@pytest.fixture(scope="module")
def figures():
    return []

{mark}
def test_that_fails_at_first(figures):
    assert figures == [], "what is tried again is tried with figures of its own"
    figures.append(1)
    with TRIED.open("a") as file:
        file.write("tried ")
    assert len(TRIED.read_text().split()) > {failures}
"""
TIMING = "@pytest.mark.timing"


def run(folder, tests, *options, mark=TIMING, failures=1):
    """Run so many tests under our `conftest.py`; give the exit status and what was said."""
    for name in (HERE / "conftest.py", HERE.parent / "pyproject.toml"):
        shutil.copy(name, folder)
    for number in range(tests):
        code = SUITE.format(mark=mark, failures=failures)
        (folder / f"test_{number}.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rR", *options, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.fspath(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [(), ("--numprocesses", "2")], ids=["alone", "xdist"])
def test_three_of_them_may_and_are_listed_and_a_fourth_fails_the_run(tmp_path, options):
    status, said = run(tmp_path, 3, *options)
    assert (status, said.count("RERUN ")) == (0, 3), said
    assert "3 passed, 3 rerun" in said
    for tried in tmp_path.glob("*.tried"):
        tried.unlink()
    status, said = run(tmp_path, 4, *options)
    assert (status, said.count("RERUN ")) == (1, 4), said
    assert "4 tests were tried again, 3 may be: the run has failed" in said


def test_a_second_failure_is_one(tmp_path):
    status, said = run(tmp_path, 1, failures=2)
    assert status == 1
    assert "1 failed, 1 rerun" in said


def test_nothing_else_may(tmp_path):
    status, said = run(tmp_path, 1, mark="")
    assert status == 1
    assert "rerun" not in said
