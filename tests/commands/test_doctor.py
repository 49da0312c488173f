from __future__ import annotations

import json
import os
import signal

import pytest

from tests.agent.rings import kill_agent, send, writer_in
from tests.support.server import agents_of, environment, tracer
from tracer.agent.session import open_session
from tracer.ring.directory import join


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Ring directories of this test alone: other runs have agents of their own."""
    monkeypatch.setenv("TRACER_RING_HOME", str(tmp_path_factory.mktemp("home")))


def doctor(*arguments, path=(), **variables):
    home = os.environ["TRACER_RING_HOME"]
    return tracer("doctor", *arguments, env=environment(*path, TRACER_RING_HOME=home, **variables))


def test_every_seam_is_listed_with_its_status_and_counted():
    done = doctor("--settings", "demo_site.settings")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("django", "asgiref", "uvicorn", "gunicorn", "djangorestframework", "asyncio"):
        assert f"\n{name}\n" in done.stdout
    assert "+ asgiref.sync:SyncToAsync.__call__  installed" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("0 refused")


def test_json_is_nothing_but_json():
    done = doctor("--settings", "demo_site.settings", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["schema"] == "tracer.doctor/1"
    assert len(document["seams"]) > 60
    for seam in document["seams"]:
        assert set(seam) == {"probe", "seam", "status", "reason"}
        assert seam["status"] in ("installed", "absent", "refused")


def test_it_works_without_settings():
    done = doctor("--json")
    assert done.returncode == 0, done.stderr
    refused = [s for s in json.loads(done.stdout)["seams"] if s["status"] == "refused"]
    assert refused == []


def test_a_refused_seam_is_named_with_its_reason_and_exit_1(tmp_path):
    code = "import asgiref.sync as s\ns._restore_context = lambda *surprise: None\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    done = doctor(path=[tmp_path])
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if " refused" in line and "!" in line]
    assert "asgiref.sync:_restore_context" in line
    assert "takes (*surprise)" in line
    found = json.loads(doctor("--json", path=[tmp_path]).stdout)["seams"]
    assert [s["seam"] for s in found if s["status"] == "refused"] == [
        "asgiref.sync:_restore_context"
    ]


def test_a_missing_library_is_absent_and_no_fault(tmp_path):
    code = "import sys\nsys.modules['gunicorn'] = sys.modules['uvloop'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    done = doctor("--json", path=[tmp_path])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["seams"]
    statuses = {s["status"] for s in found if s["probe"] == "gunicorn"}
    assert statuses == {"absent"}
    assert all(s["reason"] for s in found if s["probe"] == "gunicorn")


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        ("", ["--settings", "no_such_settings"], "no_such_settings"),
        ("raise RuntimeError('out of luck')", ["--settings", "odd_settings"], "out of luck"),
        ("this is no python", ["--settings", "odd_settings"], "SyntaxError"),
        ("import sys; sys.exit(0)", ["--settings", "odd_settings"], "odd_settings"),
        ("import sys; sys.exit('bye')", ["--settings", "odd_settings"], "bye"),
        ("import os; os._exit(0)", ["--settings", "odd_settings"], "odd_settings"),
        ("INSTALLED_APPS = ['no_such_app']", ["--settings", "odd_settings"], "no_such_app"),
        ("", ["--settings", ""], "--settings"),
        ("", ["--nonsense"], "--nonsense"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line_and_exit_2(tmp_path, code, arguments, said):
    (tmp_path / "odd_settings.py").write_text(f"{code}\n")
    done = doctor(*arguments, path=[tmp_path])
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line


def test_settings_that_print_do_not_spoil_the_json(tmp_path):
    code = "from demo_site.settings import *\nprint('hello')\nimport sys; sys.stderr.write('x')\n"
    (tmp_path / "odd_settings.py").write_text(code)
    done = doctor("--settings", "odd_settings", "--json", path=[tmp_path])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seams"]


def test_under_a_trace_of_its_own_it_still_tries_the_originals(tmp_path):
    """An environment left over from `tracer run` must not be what is examined."""
    with open_session(tmp_path / "recording") as session:
        given = session.environment(environment())
        done = tracer("doctor", "--json", env=given)
    assert done.returncode == 0, done.stderr
    statuses = [s["status"] for s in json.loads(done.stdout)["seams"]]
    assert "refused" not in statuses


def agents(*arguments):
    done = doctor("--json", *arguments)
    return done.returncode, json.loads(done.stdout)["agents"]


def test_a_healthy_agent_says_what_it_does(tmp_path):
    assert agents() == (0, [])
    path = tmp_path / "site.tracer"
    with open_session(path) as session:
        writer = writer_in(session.directory, 4096)
        send(writer, 200)
        session.sync()
        code, (agent,) = agents()
        assert (code, agent["health"], agent["reason"]) == (0, "healthy", None)
        assert agent["recording"] == str(path)
        assert [agent["pid"]] == agents_of(path)
        assert (agent["workers"], agent["behind_bytes"]) == (1, 0)
        assert agent["recorded"] + agent["dropped"] == 200
        assert agent["dropped"] > 0
        assert agent["last_drain_ns_ago"] > 0
        done = doctor()
        assert f"+ {path}  healthy" in done.stdout
        assert f"pid {agent['pid']}, 1 workers, {agent['recorded']} timelines" in done.stdout
    assert agents() == (0, [])


def test_a_stopped_agent_is_silent_a_dead_one_gone_and_what_it_left_is_named(tmp_path):
    path = tmp_path / "site.tracer"
    session = open_session(path)
    (pid,) = agents_of(path)
    os.kill(pid, signal.SIGSTOP)
    code, (agent,) = agents()
    assert (code, agent["health"]) == (1, "silent")
    assert "timed out" in agent["reason"]
    os.kill(pid, signal.SIGCONT)
    alive = join(session.directory)
    kill_agent(path, guardian=True)
    code, (agent,) = agents()
    assert (code, agent["health"]) == (1, "gone")
    os.close(alive)
    code, (agent,) = agents()
    assert (code, agent["health"]) == (0, "left")


def test_an_agent_that_had_to_refuse_a_ring_says_so(tmp_path):
    with open_session(tmp_path / "site.tracer") as session:
        (session.directory / "9-0.ring").write_bytes(b"garbage" * 300_000)
        session.sync()
        _, (agent,) = agents()
        assert agent["log"] == ["tracer: 9-0.ring is not a ring"]
        assert "9-0.ring is not a ring" in doctor().stdout
