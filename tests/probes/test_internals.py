"""What is CPython's own affair is read where it is known; elsewhere the same is marked without."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.probes.interpreters import ROOT, environment_of, others
from tests.probes.test_interpreters import CONTRACT
from tests.support.server import environment

KNOWN = [(version, python) for version, python in others() if version >= (3, 12)]
ASKED = "from tracer.model.native import native; print(native.READS_FRAMES)"
MISSING = pytest.mark.skip(reason="no CPython 3.12 or newer")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("version", "python"),
    [pytest.param(*one, id=".".join(map(str, one[0]))) for one in KNOWN]
    or [pytest.param(None, None, marks=MISSING, id="none")],
)
def test_without_them_the_same_is_marked(version, python, tmp_path):
    inner = environment_of(version, python)
    shutil.copytree(ROOT / "tracer", tmp_path / "tracer", ignore=shutil.ignore_patterns("*.so"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    build = [inner, "setup.py", "--quiet", "build_ext", "--inplace"]
    without = {**os.environ, "CFLAGS": "-DTRACER_NO_INTERNALS"}
    subprocess.run(build, cwd=tmp_path, env=without, check=True, capture_output=True)
    said = subprocess.run(
        [inner, "-c", ASKED], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == "False"
    command = [inner, "-m", "pytest", *CONTRACT, "-o", f"pythonpath={tmp_path} .", "-rs"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--basetemp", tmp_path / "tmp"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
