"""A process that is no server isn't touched, though it inherits the server's environment."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import agents_of, environment
from tracer.agent.session import open_session
from tracer.launch.setup import RING_DIRECTORY

OURS = "import sys; print([m for m in sys.modules if m.partition('.')[0] == 'tracer'])"
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "demo_site.settings"
execute_from_command_line(["manage.py", *sys.argv[1:]])
print([m for m in sys.modules if m.partition(".")[0] in ("tracer", "opentelemetry")])
"""
ALLOWED_MS = 5.0


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with open_session(tmp_path_factory.mktemp("nobody") / "recording") as opened:
        yield opened


@pytest.fixture
def alone(tmp_path):
    return environment(DEMO_DATABASE=str(tmp_path / "demo.sqlite3"))


def python(env, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", MANAGE, "check"),
        ("-c", MANAGE, "migrate", "--plan"),
        ("-c", MANAGE, "shell", "-c", "import rest_framework.views"),
        ("-c", "import asgiref.sync, django, gunicorn, uvicorn;" + OURS),
    ],
    ids=["check", "migrate", "shell", "imports"],
)
def test_what_is_no_server_loads_nothing_of_ours_and_makes_no_ring(session, alone, arguments):
    given = session.environment(alone)
    done = python(given, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
    directory = Path(given[RING_DIRECTORY])
    assert {one.name for one in directory.iterdir() if one.suffix == ".ring"} == set()
    assert len(agents_of(session.recording)) == 1


def test_its_path_is_as_without_us(session, alone):
    """Else every import of the program looks through one folder more."""
    code = "import sys; print(sys.path)"
    paths = [python(env, "-c", code).stdout for env in (alone, session.environment(alone))]
    assert paths[0] == paths[1]


@pytest.mark.alone
@pytest.mark.timing
def test_its_start_takes_no_5_ms_longer(session, alone):
    """User and system CPU time of paired starts: steadier than a clock on a busy machine."""
    alone.pop("PYTHONDONTWRITEBYTECODE", None)
    cpu_ms(session.environment(alone))
    added = [cpu_ms(session.environment(alone)) - cpu_ms(alone) for _ in range(15)]
    assert statistics.median(added) < ALLOWED_MS


def cpu_ms(env):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import asgiref"], env=env, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def test_a_child_process_of_a_traced_server_is_left_alone(session, alone):
    """As `subprocess.run(["manage.py", …])` in a view would start it."""
    code = "import uvicorn.protocols, subprocess, sys; import tracer.runtime.recorder as r;"
    code += f"print(r.installed() is not None); subprocess.run([sys.executable, '-c', {OURS!r}])"
    done = python({**session.environment(alone), "PYTHONUNBUFFERED": "1"}, "-c", code)
    assert done.stdout.split() == ["True", "[]"]
