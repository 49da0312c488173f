"""The compose file is valid, pinned and whole; the dashboards look as the reports do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.backends.build import BACKENDS
from tests.support.server import ROOT
from tracer.reports.palette import COLOURS, NAMES

FOLDER = ROOT / "dashboards"
COMPOSE = FOLDER / "compose.yaml"
BOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
SOURCES = yaml.safe_load(
    (FOLDER / "grafana/provisioning/datasources/tracer.yaml").read_text(encoding="utf-8")
)["datasources"]


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


def test_compose_takes_it():
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, COMPOSE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    docker = shutil.which("docker")
    if docker is None:
        return
    known = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if known.returncode == 0:  # the client can come without it
        asked = [docker, "compose", "--file", COMPOSE, "config", "--quiet"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_mistake_is_found(tmp_path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("ports:", "port:"))
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    assert subprocess.run([*checker, wrong], capture_output=True, check=False).returncode


def test_images_are_pinned_to_the_versions_that_are_tested(compose):
    images = {
        name: one["image"].rsplit(":", 1)
        for name, one in compose["services"].items()
        if "build" not in one
    }
    assert images.keys() == {"jaeger", "prometheus", "grafana"}
    assert all(version[:1].isdigit() or version[1:2].isdigit() for _, version in images.values())
    # A tag of Go's for Prometheus 3.16.0 is v0.316.0; Jaeger's 1.76.0 and 2.13.0 are one release.
    _, minor, patch = BACKENDS["prometheus"].version.split(".")
    assert images["prometheus"][1] == f"v{minor[0]}.{int(minor[1:])}.{patch}"
    _, minor, patch = BACKENDS["jaeger"].version.split(".")
    assert images["jaeger"][1] == f"2.{int(minor) - 63}.{patch}"
    (base,) = [
        line.split(":")[1]
        for line in (FOLDER / "demo" / "Dockerfile").read_text().splitlines()
        if line.startswith("FROM")
    ]
    assert len(base.split(".")) == 3


def test_what_is_mounted_and_built_is_there(compose):
    for one in compose["services"].values():
        for volume in one.get("volumes", ()):
            assert Path(FOLDER, volume.split(":")[0]).exists()
        if "build" in one:
            assert Path(FOLDER, one["build"]["context"], one["build"]["dockerfile"]).exists()
    home = compose["services"]["grafana"]["environment"]
    board = Path(home["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).name
    assert board in {path.name for path in BOARDS}


def test_services_are_called_where_they_listen(compose):
    names = set(compose["services"])
    hosts = {one["url"].split("//")[1].split(":")[0] for one in SOURCES}
    for service in ("wsgi", "asgi"):
        hosts |= {
            text.split("//")[1].split(":")[0]
            for name, text in compose["services"][service]["environment"].items()
            if name.endswith("_ENDPOINT")
        }
    assert hosts == {"jaeger", "prometheus"} <= names


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_sources_that_are_provisioned(path):
    board = json.loads(path.read_text(encoding="utf-8"))
    known = {one["uid"] for one in SOURCES}
    asked = [one["datasource"]["uid"] for one in board["templating"]["list"]]
    for panel in board["panels"]:
        asked += [one["datasource"]["uid"] for one in (panel, *panel["targets"])]
    assert set(asked) <= known
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_layers_have_the_colours_and_names_of_the_reports():
    shown = 0
    for path in BOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            if not any("{{tracer_layer}}" in one["legendFormat"] for one in panel["targets"]):
                continue
            shown += 1
            told = {
                one["matcher"]["options"]: {each["id"]: each["value"] for each in one["properties"]}
                for one in panel["fieldConfig"]["overrides"]
            }
            assert {name: one["color"]["fixedColor"] for name, one in told.items()} == COLOURS
            assert {name: one["displayName"] for name, one in told.items()} == NAMES
    assert shown == 3
