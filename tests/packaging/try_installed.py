"""Try what is installed for the interpreter that runs this, from a folder that has nothing of ours.

`python tests/packaging/try_installed.py` exits 1 where something of an installed wheel is
missing; with `--accelerated` also where the C code is. The extra `demo` must be installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TRACER = (sys.executable, "-m", "tracer")


def run(folder: Path, *arguments: str) -> str:
    """Run a command of ours in a folder, and return what it said."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # `tracer doctor` is about all agents that it finds, and others' may be unwell.
    known["TRACER_RING_HOME"] = str(folder)
    done = subprocess.run(
        [*TRACER, *arguments], cwd=folder, env=known, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"tracer {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def check(folder: Path) -> None:
    """Run what a new user would run first."""
    assert "compare" in run(folder, "--help")
    told = json.loads(run(folder, "doctor", "--json"))
    assert {seam["status"] for seam in told["seams"]} <= {"installed", "absent"}, told
    page, figures = folder / "page.html", folder / "figures.json"
    asked = ("--rounds", "1", "--requests", "3", "--html", str(page), "--json", str(figures))
    said = run(folder, "compare", *asked)
    assert "Where the time goes" in said, said
    compared = json.loads(figures.read_text())["configurations"]
    assert [one["name"] for one in compared] == ["wsgi", "asgi"]
    assert all(one["requests"] == 3 and one["errors"] == 0 for one in compared), compared
    assert "<script" in page.read_text()
    if "--accelerated" in sys.argv:
        assert json.loads(figures.read_text())["environment"]["accelerator"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        check(Path(empty))
