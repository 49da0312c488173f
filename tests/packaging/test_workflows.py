"""The workflows and hooks are valid, and call nothing that isn't there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.server import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
BIN = Path(sys.executable).parent


def name_of(path):
    return path.name


def runs_of(workflow):
    """The shell lines of a workflow's steps."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def missing(line):
    """What a shell line calls that is no target of the Makefile and no file or program here."""
    words = line.split()
    calls = words[1:2] if words[0] == "make" else []
    yield from (target for target in calls if target not in TARGETS)
    yield from (word for word in words if word.startswith("tests/") and not (ROOT / word).exists())
    program = words[0].removeprefix(".venv/bin/")
    if program != words[0] and not (BIN / program).exists():
        yield program


def complaints(schema, path):
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path]
    done = subprocess.run(checker, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_a_workflow_is_one(workflow):
    assert not complaints("vendor.github-workflows", workflow)


def test_a_mistake_is_found(tmp_path):
    wrong = tmp_path / "ci.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:"))
    assert complaints("vendor.github-workflows", wrong)
    assert list(missing("make nonsense")) == ["nonsense"]
    assert list(missing(".venv/bin/python tests/nonsense.py")) == ["tests/nonsense.py"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_what_a_workflow_calls_is_there(workflow):
    lines = runs_of(workflow)
    assert all(not list(missing(line)) for line in lines), lines


def test_each_of_them_runs_something_of_ours():
    said = {path.stem: "\n".join(runs_of(path)) for path in WORKFLOWS}
    assert said.keys() == {"ci", "nightly", "wheels"}
    assert "make lint" in said["ci"]
    assert "make test " in said["ci"]
    assert "make test-slow" in said["nightly"]
    assert "tests/packaging" in said["wheels"]


def test_every_supported_python_is_tested_and_built_for():
    told = [
        one.rpartition(" :: ")[2]
        for one in PROJECT["project"]["classifiers"]
        if re.search(r"Python :: 3\.\d+$", one)
    ]
    (jobs,) = (yaml.safe_load(path.read_text())["jobs"] for path in WORKFLOWS if path.stem == "ci")
    assert set(told) <= set(jobs["test"]["strategy"]["matrix"]["python"])
    builds = PROJECT["tool"]["cibuildwheel"]["build"]
    assert {f"cp{one.replace('.', '')}-manylinux_*" for one in told} == set(builds)


def test_every_wheel_is_tried_by_a_script_that_is_there():
    command = PROJECT["tool"]["cibuildwheel"]["test-command"].replace("{project}/", "")
    assert "tests/packaging/try_installed.py" in command
    assert not list(missing(command))


def test_hooks_run_from_the_environment_with_our_versions():
    subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", HOOKS], check=True, cwd=ROOT
    )
    (local,) = yaml.safe_load(HOOKS.read_text())["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert not list(missing(hook["entry"]))


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_a_form_for_issues_is_one(form):
    kind = "config" if form.name == "config.yml" else "forms"
    assert not complaints(f"vendor.github-issue-{kind}", form)
