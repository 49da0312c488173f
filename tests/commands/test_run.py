from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.server import (
    ROOT,
    SERVERS,
    Server,
    agents_of,
    environment,
    guardians_of,
    requests_in,
    tracer,
    wait_for,
)
from tracer.compare.load import LoadPlan, run_load
from tracer.recording.file import read_meta
from tracer.recording.reader import Recording


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
        killed = [*guardians_of(path), *agents_of(path)]
        rings = rings_of(path)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert [server.ask("/test/")[0] for _ in range(20)] == [200] * 20
        assert len(requests_in(path)) == 1
        server.stop(signal.SIGTERM)
    assert len(requests_in(path)) == 1
    shutil.rmtree(rings)


def test_rotation_leaves_complete_recordings_and_loses_nothing(path, env, tmp_path):
    """Its agent is killed on the way: the next one goes on, and rotates on."""
    options = ("--rotate-size", "100kB", "--rotate-age", "1h")
    moved = tmp_path / "moved"
    moved.mkdir()
    with Server(served(path, "gunicorn-sync", *options), env, tmp_path / "log") as server:
        answered, deadline = 0, time.monotonic() + 30
        for number in (1, 2):
            last = path.with_name(f"site.{number:04d}.tracer")
            while not last.exists():
                plan = LoadPlan(port=server.port, targets=("/test/",), requests=50, concurrency=2)
                answered += sum(one.status == 200 for one in run_load(plan).answers)
                assert time.monotonic() < deadline, sorted(path.parent.iterdir())
            if number == 1:
                before = agents_of(path)
                os.kill(before[0], signal.SIGKILL)
                assert wait_for(lambda: agents_of(path) not in ([], before))  # noqa: B023 - now
            last.rename(moved / last.name)
        server.stop()
    assert ended(path)
    recorded = dropped = 0
    # An agent killed in the middle of rotating may not know its number: another 0001 may be here.
    for one in [*moved.iterdir(), *path.parent.glob("site*.tracer")]:
        with Recording(one) as recording:
            assert not recording.open
            assert "gunicorn" in read_meta(one)["command"]
            recorded, dropped = recorded + recording.count(), dropped + recording.dropped
    assert (recorded, dropped) == (answered, 0)
    (found,) = json.loads(tracer("report", moved / last.name, "--format", "json").stdout)[
        "configurations"
    ]
    assert 0 < found["requests"] < answered
    assert found["dropped_timelines"] == 0


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
    assert wait_for(lambda: not agents_of(path), 30)
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
        (["--sample", "", "--", "true"], "--sample"),
        (["--sample-path", "health=0", "--", "true"], "--sample-path: 'health' is no prefix"),
        (["--sample-path", "/health", "--", "true"], "--sample-path: '/health' has no rate"),
        (["--sample-path", "", "--", "true"], "--sample-path"),
        (["--sample-route", "test/=1.1", "--", "true"], "--sample-route: '1.1' is no share"),
        (["--remote-limit", "few", "--", "true"], "--remote-limit: 'few'"),
        (["--keep-slower-than", "500", "--", "true"], "--keep-slower-than: '500'"),
        (["--rotate-size", "500", "--", "true"], "--rotate-size: '500' is no size"),
        (["--rotate-age", "", "--", "true"], "--rotate-age: says nothing"),
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


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TRACER_SAMPLE", "2"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("TRACER_KEEP_ERRORS", "yes"),
        ("TRACER_ROTATE_AGE", "soon"),
    ],
)
def test_a_variable_that_cannot_be_used_is_one_line_and_exit_2(path, variable, text):
    done = traced(path, "true", env=environment(**{variable: text}))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {variable}: '{text}' is ")
    assert done.stderr.count("\n") == 1
    assert not path.exists()


def test_a_sampler_that_is_unknown_here_does_not_matter_where_a_share_is_given(path):
    env = environment(OTEL_TRACES_SAMPLER="jaeger_remote")
    done = tracer("run", "--record", path, "--sample", "0.5", "--", "true", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert ended(path)


def test_options_reach_the_server_and_nothing_of_an_earlier_run_does(path):
    code = "import os; print({k: v for k, v in os.environ.items() if 'SAMPLE' in k or 'KEEP' in k})"
    options = ("--sample-path", "/a b=0", "--sample-path", "/c=1", "--keep-errors")
    env = environment(TRACER_SAMPLE="0.5", TRACER_SAMPLE_PATH="/x=0", OTEL_TRACES_SAMPLER="")
    command = (sys.executable, "-c", code)
    done = tracer("run", "--record", path, *options, "--", *command, env=env)
    assert ast.literal_eval(done.stdout) == {
        "OTEL_TRACES_SAMPLER": "",
        "TRACER_SAMPLE": "0.5",
        "TRACER_SAMPLE_PATH": "'/a b=0' /c=1",
        "TRACER_KEEP_ERRORS": "1",
    }
    assert ended(path)


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
