"""What can't be used is one line and exit 2; the server isn't started, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.server import agents_of, environment, tracer, wait_for
from tracer.commands import main
from tracer.commands.interpreters import hiding_option

MAKES = "import pathlib; pathlib.Path('started').touch()"


def ring_directories():
    places = (Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp")))  # noqa: S108
    return {one for place in places if place.is_dir() for one in place.glob("tracer-*")}


def refused(tmp_path, *arguments, **options):
    """Run to its refusal; return what was said."""
    before = ring_directories()
    options = {"env": environment(), "cwd": tmp_path, **options}
    done = tracer("run", *arguments, "--", sys.executable, "-c", MAKES, **options)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert not (tmp_path / "started").exists()
    assert wait_for(lambda: not without_an_agent(ring_directories() - before))
    assert not agents_of(tmp_path)
    return line


def without_an_agent(directories):
    """Those of other tests that run beside this one have an agent, or will have in a moment."""
    return {one for one in directories if one.exists() and not agents_of(one)}


@contextlib.contextmanager
def small_disk(where, size):
    where.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield where
    finally:
        subprocess.run(["/bin/umount", "-l", str(where)], check=False)


@pytest.mark.parametrize("size", ["4k", "16k", "40k"])
def test_a_disk_that_is_full_at_start_is_said_so_and_nothing_is_left_on_it(tmp_path, size):
    with small_disk(tmp_path / "disk", size) as disk:
        line = refused(tmp_path, "--record", disk / "site.tracer")
        assert "site.tracer" in line
        assert "full" in line or "No space" in line
        assert list(disk.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_said_so(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        subprocess.run(["/bin/mount", "-o", "remount,ro", str(disk)], check=True)
        assert "site.tracer" in refused(tmp_path, "--record", disk / "site.tracer")


def test_a_recording_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    assert "file/site.tracer" in refused(tmp_path, "--record", tmp_path / "file" / "site.tracer")


def test_without_a_place_for_the_rings_no_server_is_started(tmp_path, monkeypatch):
    def no_place(**_where):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkdtemp", no_place)
    done = CliRunner().invoke(main, ["run", "--record", str(tmp_path / "r"), "--", "true"])
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "No usable temporary directory found" in line
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def script(tmp_path):
    def written(first):
        path = tmp_path / "server"
        path.write_text(f"{first}\nimport uvicorn\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return written


@pytest.mark.parametrize(
    ("first", "option"),
    [
        (f"#!{sys.executable} -I", "-I"),
        (f"#! {sys.executable}   -sE", "-E"),
        ("#!/usr/bin/env -S python3 -u -S", "-S"),
        ("#!/usr/bin/env -S A=1 python3 -X dev -I", "-I"),
    ],
)
def test_a_script_whose_python_would_hide_us_is_refused(script, tmp_path, first, option):
    done = tracer("run", "--", script(first), cwd=tmp_path, env=environment())
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert f"python {option} ignores" in line
    assert [one.name for one in tmp_path.iterdir()] == ["server"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("python -I -m uvicorn", "-I"),
        ("python3.12 -uE app.py", "-E"),
        ("/opt/bin/python -W ignore -S app.py", "-S"),
        ("python -Wignore -X dev -I", "-I"),
        ("python --check-hash-based-pycs always -I app.py", "-I"),
        ("env -u HOME A=1 python -I app.py", "-I"),
        ("env -S 'python -I' app.py", "-I"),
        ("pypy3 -S app.py", "-S"),
        ("python -m uvicorn -I", None),
        ("python -c pass -I", None),
        ("python -cpass", None),
        ("python app.py -E", None),
        ("python - -I", None),
        ("python -WI app.py", None),
        ("python -W -I app.py", None),
        ("python -Pus app.py", None),
        ("gunicorn-that-is-nowhere -I", None),
        ("/bin/sh -E", None),
        ("env", None),
        ("env -S \"unbalanced ' quote", None),
        ("python", None),
    ],
)
def test_the_option_that_hides_us_is_found(words, option):
    import shlex

    split = words.split() if "unbalanced" in words else shlex.split(words)
    assert hiding_option(split) == option


def test_nothing_at_all_hides_nothing():
    assert hiding_option([]) is None
    assert hiding_option([""]) is None
