"""Whoever does what CONTRIBUTING.md says has a probe: its own blocks are taken and run."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.invariants import assert_tiles
from tests.support.server import ROOT, Server, environment, requests_in, tracer
from tracer.model.native import PURE
from tracer.probes.elsewhere import GROUP

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = re.compile(r"This is (?:its )?`([\w.]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
BLOCKS = dict(NAMED.findall(TEXT))
(COMMAND,) = re.findall(r"^\$ tracer run --record toy.tracer -- python (.*)$", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the blocks as files, and the package as if it were installed there."""
    folder = tmp_path_factory.mktemp("toy")
    for name, text in BLOCKS.items():
        (folder / name).write_text(text)
    project = tomllib.loads(BLOCKS["pyproject.toml"])["project"]
    told = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    entries = project["entry-points"][GROUP].items()
    (told / "entry_points.txt").write_text(
        f"[{GROUP}]\n" + "".join(f"{name} = {value}\n" for name, value in entries)
    )
    return folder


@pytest.fixture(scope="module", params=["0", "1"], ids=["in C", "in Python"])
def requests(request, place):
    recording = place / f"toy{request.param}.tracer"
    script, site, _port = COMMAND.split()
    command = ("tracer", "run", "--record", str(recording), "--", "python", str(place / script))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = environment(place, **{PURE: request.param, "PATH": path})
    with Server((*command, site, "{port}"), env, place / "log") as server:
        answers = [server.ask(path) for path in ("/hello/?who=me", "/nowhere/", "/hello/")]
        server.stop()
    assert [status for status, _ in answers] == [200, 404, 200], server.output
    assert answers[0][1] == b"hello\n"
    assert "tracer" not in server.output
    return requests_in(recording)


def test_the_example_is_whole():
    assert BLOCKS.keys() == {"toyserver.py", "toyserver_probe.py", "pyproject.toml", "toysite.py"}


def test_each_request_is_recorded_as_the_toy_servers(requests):
    assert [one["status"] for one in requests] == [200, 404, 200]
    for one in requests:
        assert (one["server"], one["interface"]) == ("toyserver", "wsgi")
        assert (one["method"], one["outcome"]) == ("GET", "complete")
        assert one["seams_absent"] == []
    assert requests[0]["route"] == "hello/"


def test_sums_are_exact_and_every_nanosecond_has_an_owner(requests):
    for one in requests:
        assert_tiles(one)
        assert sum(one["layers"].values()) == one["end_ns"] - one["start_ns"]
        assert one["layers"]["unattributed"] == 0
        details = {part["detail"] for part in one["segments"] if part["layer"] == "server"}
        assert details == {None, "parse", "send"}
    assert {part["detail"] for part in requests[0]["segments"] if part["layer"] == "view"} == {
        "toysite.hello"
    }


def test_its_functions_have_the_shape_that_the_probe_expects(place):
    done = tracer("doctor", "--json", env=environment(place))
    assert '"probe": "toyserver"' in done.stdout
    assert "refused" not in done.stdout
