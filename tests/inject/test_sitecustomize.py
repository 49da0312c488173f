from __future__ import annotations

import statistics
import subprocess
import sys
import textwrap
import time

import pytest

from tests.live import environment
from tracer.agent.session import open_session

MODULES = "import sys; print([m for m in sys.modules if m.startswith('tracer')])"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The variables that a session gives to a server."""
    with open_session(tmp_path_factory.mktemp("inject") / "recording") as session:
        yield session.environment({})


def python(given, *arguments, path=(), **options):
    env = environment()
    found = [given.get("PYTHONPATH", ""), *map(str, path)]
    env = {**env, **given, "PYTHONPATH": ":".join(part for part in found if part)}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**env, **options},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def a_site(tmp_path, code):
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(code))
    return tmp_path


def test_the_users_own_sitecustomize_still_runs_as_itself(given, tmp_path):
    site = a_site(tmp_path, "import sys; print(__name__, __file__); marker = 'mine'")
    code = "import sitecustomize; print(sitecustomize.marker, sitecustomize.__spec__.name)"
    done = python(given, "-c", code, path=[site])
    assert done.stdout.split() == [
        "sitecustomize",
        str(tmp_path / "sitecustomize.py"),
        "mine",
        "sitecustomize",
    ]
    assert done.stderr == ""


def test_what_the_users_own_sitecustomize_raises_is_shown_as_ever(given, tmp_path):
    site = a_site(tmp_path, "raise ValueError('mine')")
    alone = python({}, "-c", "print(1)", path=[site])
    with_us = python(given, "-c", "print(1)", path=[site])
    assert (with_us.returncode, with_us.stdout) == (alone.returncode, alone.stdout)
    assert alone.stderr.splitlines()[-1] == with_us.stderr.splitlines()[-1]
    assert "ValueError: mine" in with_us.stderr


def test_a_sitecustomize_that_imports_django_is_traced_too(given, tmp_path):
    site = a_site(tmp_path, "import asgiref.sync")
    done = python(given, "-c", "import tracer; print(tracer.install().problems)", path=[site])
    assert done.stdout == "{}\n"
    assert done.stderr == ""


def test_a_program_without_a_seam_loads_nothing_of_ours(given):
    done = python(given, "-c", MODULES)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


@pytest.mark.parametrize("module", ["django", "asgiref.sync", "uvicorn", "gunicorn"])
def test_the_first_library_with_a_seam_brings_the_tracer(given, module):
    code = f"import {module}, tracer.recorder; print(tracer.recorder.installed() is not None)"
    done = python(given, "-c", code)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_looking_for_a_library_that_is_not_there_breaks_nothing(given):
    code = "import importlib.util as u; print(u.find_spec('django'), u.find_spec('nonsense'))"
    done = python(given, "-S", "-c", "import sitecustomize; " + code)
    assert done.stdout.split()[-1] == "None"
    assert done.stderr == ""


def test_an_agent_that_has_gone_leaves_the_program_alone(given, tmp_path):
    gone = {**given, "TRACER_RING_DIRECTORY": str(tmp_path / "gone")}
    done = python(gone, "-c", "import django, asgiref.sync; print(1)")
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_children_of_other_interpreters_options_are_left_alone(given):
    assert python(given, "-I", "-c", MODULES).stdout == "[]\n"
    assert python(given, "-E", "-c", "import django; " + MODULES).stdout == "[]\n"


def test_starting_python_costs_next_to_nothing_more(given):
    """A tenfold allowance: what is asked for is measured, this only finds the blunder."""
    took = {"alone": [], "traced": []}
    for _ in range(7):
        for name, variables in (("alone", {}), ("traced", given)):
            began = time.perf_counter()
            python(variables, "-c", "pass")
            took[name].append(time.perf_counter() - began)
    added = statistics.median(took["traced"]) - statistics.median(took["alone"])
    assert added < 0.05
