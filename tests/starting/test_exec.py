"""`tracer run` becomes the server: pid, descriptors, signals and terminal are as without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from tests.starting.runs import WSGI, StartedRun
from tests.support.server import GUNICORN, Server, agents_of, environment, tracer, wait_for

# What systemd does: the socket is descriptor 3, and the variables name the process to come.
ACTIVATE = """
    import os, socket, sys
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.execvp(sys.argv[2], sys.argv[2:])
"""
SHELL = ("/bin/sh", "-c", "grep SigIgn /proc/$$/status")


def test_a_socket_that_the_supervisor_opened_reaches_the_server(tmp_path):
    (tmp_path / "activate.py").write_text(textwrap.dedent(ACTIVATE))
    recording = tmp_path / "site.tracer"
    env = environment(tmp_path, DEMO_DATABASE=str(tmp_path / "demo.sqlite3"))
    traced = (sys.executable, "-m", "tracer", "run", "--record", str(recording), "--")
    gunicorn = (sys.executable, "-m", "gunicorn", "--log-level", "info", WSGI)
    with Server(("activate", "{port}", *traced, *gunicorn), env, tmp_path / "log") as server:
        assert server.ask()[0] == 200
        (agent,) = agents_of(recording)
        held = {one.readlink() for one in Path(f"/proc/{agent}/fd").iterdir()}
        assert Path(f"/proc/{server.process.pid}/fd/3").readlink() not in held
        assert server.stop() == 0
    assert f":{server.port}" in server.output
    assert wait_for(lambda: not agents_of(recording))


def test_ctrl_c_ends_the_server_and_its_recording_is_whole(tmp_path):
    with StartedRun(tmp_path, (*GUNICORN, WSGI)) as run:
        run.ask(3)
        (agent,) = agents_of(run.recording)
        assert os.getsid(agent) not in (os.getsid(run.pid), os.getsid(0))
        time.sleep(0.1)  # what follows an answer: cut off there, nobody would hear of it
        os.killpg(run.pid, signal.SIGINT)
        assert run.server.process.wait(20) == 0
        run.assert_counts()


def test_the_server_ignores_no_signal_that_it_would_not_alone(tmp_path):
    """Python ignores SIGPIPE and SIGXFSZ, and what is ignored stays so across `exec`."""
    alone = subprocess.run(SHELL, capture_output=True, check=True).stdout
    done = tracer("run", "--record", tmp_path / "r", "--", *SHELL, text=False)
    assert (done.returncode, done.stdout) == (0, alone)
    wait_for(lambda: not agents_of(tmp_path / "r"))


def test_a_server_that_no_probe_knows_is_served_and_said_to_be_unrecorded(tmp_path):
    program = tmp_path / "hypercorn"
    program.write_text("#!/bin/sh\necho served\n")
    program.chmod(0o700)
    done = tracer("run", "--record", tmp_path / "r", "--", program)
    assert (done.returncode, done.stdout) == (0, "served\n")
    assert done.stderr == "tracer: no probe knows hypercorn: its requests are not recorded\n"
    wait_for(lambda: not agents_of(tmp_path / "r"))
    report = tracer("report", tmp_path / "r")
    assert report.returncode == 2
    assert "no requests" in report.stderr
