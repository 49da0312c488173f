"""Every command in a document is run: one that nobody here knows how to run fails."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
)
PROGRAMS = ("tracer", "make", "pip", "python", "pre-commit")
TRACER = [sys.executable, "-m", "tracer"]


def commands_of(document):
    """Commands in fenced blocks, continued lines joined, comments cut."""
    found = []
    for language, block in re.findall(r"```(\w*)\n(.*?)```", document.read_text(), re.DOTALL):
        if language in ("python", "json"):
            continue
        lines = re.sub(r"\\\n\s*", " ", block).splitlines()
        lines = [re.sub(r"^(TRACER_PURE=1 )?\.venv/bin/", "", line) for line in lines]
        found += [
            line.partition(" #")[0].strip() for line in lines if line.split(" ")[0] in PROGRAMS
        ]
    inline = re.findall(r"`((?:python -m|tracer|make) [^`]+)`", document.read_text())
    found += [command for command in inline if command.startswith("python -m benchmarks")]
    return found


COMMANDS = {str(path.relative_to(ROOT)): commands_of(path) for path in DOCUMENTS}
EVERY = sorted({command for commands in COMMANDS.values() for command in commands})


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder in which the README's `tracer run` has been run on the demo site."""
    folder = tmp_path_factory.mktemp("site")
    (started,) = [command for command in COMMANDS["README.md"] if " run " in command]
    port = free_port()
    command = on_demo_site(started.replace("--workers 4", f"--workers 1 --bind 127.0.0.1:{port}"))
    asked = {**environment(), "TRACER_FLAME": "all"}
    server = subprocess.Popen(command, cwd=folder, env=asked, stderr=subprocess.PIPE)
    try:
        fetch(port)
        fetch(port)
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    return folder


def on_demo_site(command):
    words = shlex.split(command.replace("mysite", "demo_site").replace("/api/items/", "/test/"))
    assert words[0] == "tracer"
    return TRACER + words[1:]


def environment():
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(port):
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/test/", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the documented server never answered")


def run(command, folder):
    words, _, shell_out = command.partition(" > ")
    done = subprocess.run(
        on_demo_site(words),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = re.search(r"--(?:output|html) (\S+)", words)
    if written:
        assert (folder / written[1]).stat().st_size
    if not written or "--html" in words:
        assert done.stdout or Path(folder, done.stderr.strip()).is_file()
    if shell_out:
        assert len(done.stdout.splitlines()) >= 2
    return done


def test_documents_show_commands():
    assert any("tracer compare" in command for command in EVERY)
    assert any("tracer run" in command for command in EVERY)


@pytest.mark.parametrize("command", EVERY)
def test_a_documented_command_works(command, site, tmp_path):
    match command.split():
        case ["tracer", "run", *_]:
            assert (site / "site.tracer").exists()
        case ["tracer", "compare", *_]:
            command = command.replace("--workers 4", "--workers 1")
            run(f"{command} --rounds 1 --requests 5 --concurrency 1", site)
        case ["tracer", *_]:
            run(command, site)
        case ["make", *asked]:
            words = [shutil.which("make"), "-n", *shlex.split(" ".join(asked))]
            subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
        case ["pre-commit", asked]:
            words = [sys.executable, "-m", "pre_commit", asked, "--help"]
            subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
        case ["python", "-m", "pytest", *rest]:
            words = [sys.executable, "-m", "pytest", "--collect-only", *rest]
            subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=120)
        case ["pip", "install", *options, name]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            name, _, extra = name.strip("'").rstrip("]").partition("[")
            assert name in (project["name"], ".")
            assert not extra or extra in project["optional-dependencies"]
            assert options in ([], ["-c", "constraints.txt"])
        case ["python", "-m", "benchmarks", part]:
            out = f"--out={tmp_path}"
            words = [sys.executable, "-m", "benchmarks", part, "--quick", "--no-peers", out]
            subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=120)
        case ["python", "-m", module, *rest]:
            words = [sys.executable, "-m", module, *rest, "3"]
            subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=120)
        case _:
            pytest.fail(f"nobody here knows how to run {command!r}")
