"""The rules of the house: linters, how many files lie side by side, what an import may load."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tracer.model.native import native

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tracer"
MOST_AT_THE_ROOT = 4
MOST_IN_A_FOLDER = 26
FOR_PEOPLE = ("click", "rich", "numpy", "httptools", "jinja2", "opentelemetry", "django")


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--quiet"],
        ["ruff", "format", "--check", "--quiet"],
        ["mypy", "--no-error-summary"],
        ["lint-imports", "--no-logo"],
        pytest.param(
            ["stubtest", "tracer.model._native", "--ignore-disjoint-bases", "--concise"],
            marks=pytest.mark.skipif(native is None, reason="no accelerator"),
        ),
    ],
    ids=" ".join,
)
def test_linters_are_content(command: list[str]):
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_can_be_looked_over():
    files = Counter(path.parent for path in PACKAGE.rglob("*.py"))
    crowded = {folder.name: count for folder, count in files.items() if count > MOST_IN_A_FOLDER}
    assert not crowded
    tracked = [path for path in PACKAGE.iterdir() if path.is_file() and path.suffix != ".so"]
    assert len(tracked) <= MOST_AT_THE_ROOT, tracked


_SINK = """
class Sink:
    largest = 1 << 62
    write = describe = count = lambda self, *_: None
"""


@pytest.mark.parametrize("then", ["", "tracer.install(Sink())"], ids=["importing", "installing"])
def test_a_worker_loads_nothing_for_people(then: str):
    code = (
        f"{_SINK}\nimport sys; import tracer; {then}\n"
        f"print(*sorted(name for name in {FOR_PEOPLE!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
