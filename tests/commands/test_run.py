from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live import (
    ROOT,
    SERVERS,
    Server,
    agents_of,
    environment,
    requests_in,
    tracer,
    wait_for,
)
from tracer.sinks.recording import Recording


@pytest.fixture
def path(tmp_path):
    return tmp_path / "site.tracer"


@pytest.fixture
def env(tmp_path):
    return environment(DEMO_DATABASE=str(tmp_path / "demo.sqlite3"))


def traced(path, *command, **options):
    return tracer("run", "--record", path, "--", *command, **options)


def served(path, name, *options):
    """The command of a server under `tracer run`."""
    return ("tracer", "run", "--record", str(path), *options, "--", sys.executable, "-m") + (
        SERVERS[name]
    )


def rings_of(path):
    """The directory of the rings that the recording's agent serves."""
    (pid,) = agents_of(path)
    return Path(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[4])


def ended(path):
    """Whether the recording has been ended cleanly and its agent has gone."""
    assert wait_for(lambda: not agents_of(path), 8)
    with Recording(path) as recording:
        return not recording.open


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "gunicorn-sync"])
def test_a_server_is_recorded_and_ends_as_it_would_alone(path, env, tmp_path, name):
    with Server(served(path, name), env, tmp_path / "log") as server:
        assert [server.ask("/test/")[0] for _ in range(3)] == [200] * 3
        assert len(requests_in(path)) == 3, "read while it is written"
        cmdline = Path(f"/proc/{server.process.pid}/cmdline").read_text()
        assert "tracer" not in cmdline, "the server is the process that was started"
        code = server.stop(signal.SIGTERM)
    assert code == (-signal.SIGTERM if name.startswith("uvicorn") else 0)
    assert ended(path)
    assert len(requests_in(path)) == 3
    assert [entry.name for entry in tmp_path.iterdir() if "site" in entry.name] == [path.name]


@pytest.mark.parametrize("name", ["uvicorn-httptools-uvloop", "gunicorn-gthread"])
def test_a_killed_server_leaves_a_recording_that_is_whole_and_no_agent(path, env, tmp_path, name):
    with Server(served(path, name), env, tmp_path / "log") as server:
        assert [server.ask("/test/")[0] for _ in range(3)] == [200] * 3
        rings = rings_of(path)
        assert rings.is_dir()
        time.sleep(0.3)  # what follows a response is a part of the record
        server.stop(signal.SIGKILL)
    assert ended(path)
    assert len(requests_in(path)) == 3
    assert not rings.exists()


def test_after_its_agent_was_killed_the_server_serves_on(path, env, tmp_path):
    with Server(served(path, "uvicorn-h11-asyncio"), env, tmp_path / "log") as server:
        assert server.ask("/test/")[0] == 200
        assert len(requests_in(path)) == 1
        (pid,) = agents_of(path)
        rings = rings_of(path)
        os.kill(pid, signal.SIGKILL)
        assert [server.ask("/test/")[0] for _ in range(20)] == [200] * 20
        assert len(requests_in(path)) == 1
        server.stop(signal.SIGTERM)
    assert len(requests_in(path)) == 1
    shutil.rmtree(rings)


def test_the_command_keeps_pid_output_exit_code_and_signals(path):
    code = "import os, sys; print(os.getpid()); sys.stderr.write('err'); sys.exit(7)"
    with subprocess.Popen(
        [sys.executable, "-m", "tracer", "run", "--record", path, "--", sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (7, f"{process.pid}\n", "err")
    done = traced(path, sys.executable, "-c", "import os; os.kill(os.getpid(), 15)")
    assert done.returncode == -signal.SIGTERM
    assert ended(path)


def test_standard_input_reaches_the_command(path):
    done = traced(path, sys.executable, "-c", "print(input() * 2)", input="ab\n")
    assert (done.returncode, done.stdout) == (0, "abab\n")


def test_a_program_without_a_server_imports_nothing_of_ours(path):
    code = "import sys; print(1, [m for m in sys.modules if m.startswith('tracer')])"
    done = traced(path, sys.executable, "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 []\n", "")
    assert ended(path)
    with Recording(path) as recording:
        assert recording.count() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--", "no-such-command"], "no-such-command: command not found"),
        (["--nonsense", "--", "true"], "No such option '--nonsense'"),
        (["--sample", "2", "--", "true"], "--sample"),
        (["--sample", "-0.1", "--", "true"], "--sample"),
        (["--sample", "nan", "--", "true"], "--sample"),
        (["--sample", "many", "--", "true"], "--sample"),
        (["--record"], "--record"),
        (["--record", "", "--", "true"], "not replaced"),
        (["--"], "COMMAND"),
        ([], "COMMAND"),
        (["--record", "/", "--", "true"], "directory"),
        (["--record", "/proc/x", "--", "true"], "/proc/x"),
        (["--record", "/dev/null", "--", "true"], "/dev/null"),
        (["--", "/"], "command not found"),
        (["--", ""], "command not found"),
        (["--", sys.executable, "-I", "-m", "uvicorn"], "-I"),
        (["--", sys.executable, "-uE", "-m", "uvicorn"], "-E"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, arguments, said):
    done = tracer("run", *arguments, cwd=tmp_path, env=environment())
    assert done.returncode == 2, done
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert said in lines[-1]
    assert len([line for line in lines if line.startswith("Error: ")]) == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("content", ["precious", "SQLite format 3\0" * 20])
def test_a_file_that_is_no_recording_is_never_overwritten(path, content):
    path.write_text(content)
    done = traced(path, "true")
    assert done.returncode == 2
    assert "not replaced" in done.stderr
    assert path.read_text() == content


def test_a_command_that_is_no_program_is_exit_2_and_leaves_no_agent(path, tmp_path):
    (tmp_path / "script").write_text("no shebang")
    (tmp_path / "script").chmod(0o700)
    done = traced(path, str(tmp_path / "script"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {tmp_path / 'script'}: cannot be run")
    assert ended(path)


def test_a_server_that_cannot_start_says_so_itself_and_leaves_no_agent(path, env):
    command = (sys.executable, "-m", "uvicorn", "no_such_module:app")
    alone = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    done = traced(path, *command, env=env)
    assert (done.returncode, done.stderr) == (alone.returncode, alone.stderr)
    assert "no_such_module" in done.stderr
    assert ended(path)


def test_the_share_of_requests_asked_for_is_recorded(path, env, tmp_path):
    command = served(path, "uvicorn-h11-asyncio", "--sample", "0")
    with Server(command, env, tmp_path / "log") as server:
        assert [server.ask("/test/")[0] for _ in range(5)] == [200] * 5
        server.stop()
    assert ended(path)
    assert requests_in(path) == []


def test_paths_are_kept_only_when_asked_for(path, env, tmp_path):
    command = served(path, "uvicorn-h11-asyncio", "--record-paths")
    with Server(command, env, tmp_path / "log") as server:
        server.ask("/queries/3/?secret=1")
        server.ask("/nowhere/")
        server.stop()
    assert [one["target"] for one in requests_in(path)] == ["/queries/3/", "/nowhere/"]
    assert [one["route"] for one in requests_in(path)] == ["queries/<int:n>/", None]


def test_the_recording_knows_the_command_that_made_it(path):
    traced(path, sys.executable, "-c", "pass", "--api-key=secret")
    assert ended(path)
    with Recording(path) as recording:
        assert sys.executable in recording.meta["command"]
        assert "secret" not in recording.meta["command"]


def test_help_is_there():
    done = tracer("run", "--help", cwd=ROOT)
    assert done.returncode == 0
    assert "--record" in done.stdout
