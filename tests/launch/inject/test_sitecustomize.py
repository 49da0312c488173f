from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tracer
from tests.support.server import environment
from tracer.agent.session import open_session

MODULES = "import sys; print([m for m in sys.modules if m.startswith('tracer')])"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The variables that a session gives to a server."""
    with open_session(tmp_path_factory.mktemp("inject") / "recording") as session:
        yield session.environment({})


def python(given, *arguments, path=(), **options):
    env = environment()
    found = [given.get("PYTHONPATH", ""), *map(str, path)]
    env = {**env, **given, "PYTHONPATH": ":".join(part for part in found if part)}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**env, **options},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def a_site(tmp_path, code):
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(code))
    return tmp_path


def test_the_users_own_sitecustomize_still_runs_as_itself(given, tmp_path):
    site = a_site(tmp_path, "import sys; print(__name__, __file__); marker = 'mine'")
    code = "import sitecustomize; print(sitecustomize.marker, sitecustomize.__spec__.name)"
    done = python(given, "-c", code, path=[site])
    assert done.stdout.split() == [
        "sitecustomize",
        str(tmp_path / "sitecustomize.py"),
        "mine",
        "sitecustomize",
    ]
    assert done.stderr == ""


def test_what_the_users_own_sitecustomize_raises_is_shown_as_ever(given, tmp_path):
    site = a_site(tmp_path, "raise ValueError('mine')")
    alone = python({}, "-c", "print(1)", path=[site])
    with_us = python(given, "-c", "print(1)", path=[site])
    assert (with_us.returncode, with_us.stdout) == (alone.returncode, alone.stdout)
    assert alone.stderr.splitlines()[-1] == with_us.stderr.splitlines()[-1]
    assert "ValueError: mine" in with_us.stderr


def test_a_sitecustomize_that_imports_a_server_is_traced_too(given, tmp_path):
    site = a_site(tmp_path, "import uvicorn.protocols.http.h11_impl")
    done = python(given, "-c", "import tracer; print(tracer.install().problems)", path=[site])
    assert done.stdout == "{}\n"
    assert done.stderr == ""


def test_a_program_without_a_seam_loads_nothing_of_ours(given):
    done = python(given, "-c", MODULES)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


def test_the_users_usercustomize_still_runs(given, tmp_path):
    site = a_site(tmp_path, "marker = 'mine'")
    (site / "usercustomize.py").write_text("import sitecustomize; print(sitecustomize.marker)")
    code = "import site; print(site.ENABLE_USER_SITE)"
    done = python(given, "-c", code, path=[site])
    if "False" in done.stdout:  # a virtual environment has no user site
        code = "import site; site.ENABLE_USER_SITE = True; site.execusercustomize()"
        done = python(given, "-c", code, path=[site])
    assert (done.stdout.split()[0], done.stderr) == ("mine", "")


def test_the_path_that_is_added_is_a_folder_of_the_package_with_one_module(given):
    (site,) = map(Path, given["PYTHONPATH"].split(":"))
    assert site == Path(tracer.__file__).resolve().parent / "launch" / "inject"
    assert {one.name for one in site.iterdir()} - {"__pycache__"} == {"sitecustomize.py"}


def test_nothing_that_python_may_run_is_in_the_directory_of_the_rings(given):
    """It is removed with its server, and whoever makes it anew would be run by what is left."""
    everything = Path(given["TRACER_RING_DIRECTORY"]).rglob("*")
    assert not [
        one for one in everything if one.suffix == ".py" or one.is_symlink() or one.is_dir()
    ]
    assert given["TRACER_RING_DIRECTORY"] not in given["PYTHONPATH"]


SERVERS = [
    *("uvicorn.protocols.http.h11_impl", "uvicorn.protocols.http.httptools_impl"),
    *("gunicorn.workers.sync", "gunicorn.workers.gthread", "gunicorn.app.wsgiapp"),
    *("uvicorn_worker", "django.core.management.commands.runserver"),
]


def test_servers_with_a_probe_are_all_tried():
    """A new server's probe needs its module in `tracer/inject/sitecustomize.py`, and here."""
    servers = {module.partition(".")[0] for module in SERVERS}
    opening = {
        path.stem
        for path in (Path(tracer.__file__).parent / "probes").glob("*.py")
        if re.search(r"recorder\.open(_early)?[(,]", path.read_text())
    }
    assert opening == (servers - {"uvicorn_worker", "django"}) | {"runserver"}


@pytest.mark.parametrize("module", SERVERS)
def test_the_first_module_of_a_server_brings_the_tracer(given, module):
    code = (
        f"import {module}, tracer.runtime.recorder as recorder;"
        "described = recorder.installed().describe();"
        "print({seam['status'] for seam in described['seams']})"
    )
    done = python(given, "-c", code)
    assert (done.stdout, done.stderr) == ("{'installed'}\n", "")


def test_uvicorn_is_no_server_before_it_is_configured(given):
    """Logging settings name its formatters: a migration imports it as well."""
    installed = "'tracer.runtime.recorder' in sys.modules"
    code = (
        f"import sys, uvicorn, uvicorn.logging; print({installed});"
        "import inspect; print(inspect.signature(uvicorn.Config).parameters['app']);"
        f"made = [uvicorn.Config('site:app', log_config=None) for _ in 'ab']; print({installed});"
        "print(uvicorn.Config.__init__.__qualname__, made[1].app)"
    )
    done = python(given, "-c", code)
    assert done.stderr == ""
    told = done.stdout.splitlines()
    assert told[0] == "False"
    assert told[1].startswith("app")
    assert told[2:] == ["True", "Config.__init__ site:app"]


def test_looking_for_a_library_that_is_not_there_breaks_nothing(given):
    code = "import importlib.util as u; print(u.find_spec('django'), u.find_spec('nonsense'))"
    done = python(given, "-S", "-c", "import sitecustomize; " + code)
    assert done.stdout.split()[-1] == "None"
    assert done.stderr == ""


def test_an_agent_that_has_gone_leaves_the_program_alone(given, tmp_path):
    gone = {**given, "TRACER_RING_DIRECTORY": str(tmp_path / "gone")}
    done = python(gone, "-c", "import django, uvicorn.protocols.http.h11_impl; print(1)")
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_children_of_other_interpreters_options_are_left_alone(given):
    assert python(given, "-I", "-c", MODULES).stdout == "[]\n"
    assert python(given, "-E", "-c", "import uvicorn.protocols.http; " + MODULES).stdout == "[]\n"
