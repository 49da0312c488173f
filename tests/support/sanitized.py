"""Tests with the C kernel under AddressSanitizer, servers' too.

    python -m tests.support.sanitized TESTS …

A copy of the tree is built for it and run from. Tests that compare times are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("tracer", "tests", "demo_site", "benchmarks", "docs")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "Makefile")
FLAGS = "-fsanitize=address -fno-omit-frame-pointer -g"
OPTIONS = "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1"


def built(folder):
    """Copy the tree and build the extension there."""
    left_out = shutil.ignore_patterns("*.so", "__pycache__", "images")
    for name in NEEDED:
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    flags = {**os.environ, "CFLAGS": FLAGS, "LDFLAGS": "-fsanitize=address"}
    subprocess.run(build, cwd=folder, env=flags, check=True)


def main(arguments):
    if shutil.which("gcc") is None:
        sys.stderr.write("sanitized: no gcc, nothing was run\n")
        return 2
    asked = ["gcc", "-print-file-name=libasan.so"]
    library = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="sanitized-") as name:
        folder = Path(name)
        built(folder)
        environment = {
            **os.environ,
            "LD_PRELOAD": library,
            "ASAN_OPTIONS": OPTIONS,
            "PYTHONMALLOC": "malloc",
            "PYTHONPATH": name,
        }
        loaded = "import tracer.model.native as n; print(n.native.__file__)"
        said = subprocess.run(
            [sys.executable, "-c", loaded],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert said.stdout.startswith(name), said.stdout
        command = [sys.executable, "-m", "pytest", *arguments]
        command += ["-m", "not slow and not timing", "-p", "no:cacheprovider"]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
