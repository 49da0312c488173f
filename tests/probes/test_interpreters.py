from __future__ import annotations

import subprocess

import pytest

from tests.probes.interpreters import ROOT, environment_of, others
from tests.support.server import environment

OTHERS = others()
CONTRACT = (
    "tests/probes/test_contract.py",
    "tests/probes/test_contract_of_requests.py",
    "tests/runtime/test_scopes.py",
    "tests/runtime/native/test_native.py",
    "tests/probes/test_handles.py",
)
MISSING = pytest.mark.skip(reason="no other interpreter of at least 3.11 was found")
# An environment is made first: minutes, where packages have to be fetched.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The contract tests of every other interpreter, all begun at once."""
    started = {}
    for version, python in OTHERS:
        inner = environment_of(version, python)
        place = tmp_path_factory.mktemp(f"python{version[1]}")
        command = [inner, "-m", "pytest", *CONTRACT, "-p", "no:cacheprovider"]
        started[version] = subprocess.Popen(
            [*command, "--basetemp", place / "tmp", "-rs"],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield started
    for process in started.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "version",
    [pytest.param(version, id=".".join(map(str, version))) for version, _ in OTHERS]
    or [pytest.param(None, marks=MISSING, id="none")],
)
def test_probes_keep_to_the_contract_under(runs, version):
    said, _ = runs[version].communicate(timeout=600)
    assert runs[version].returncode == 0, said
