"""A probe of another distribution is found by its entry point, installed as a folder or a zip."""

from __future__ import annotations

import logging
import sys
import zipfile

import pytest

from tracer.probes import BUILT_IN, all_probes
from tracer.probes.elsewhere import foreign

MODULE = """
from tracer.runtime.seams import Probe

PROBE = Probe(name="cellar", seams=())
OTHER = "no probe"
"""
ENTRIES = """
[tracer.probes]
cellar = cellar_probe:PROBE
nothing = cellar_probe:OTHER
gone = cellar_probe:GONE
"""
FILES = {
    "cellar_probe.py": MODULE,
    "cellar-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: cellar\nVersion: 1.0\n",
    "cellar-1.0.dist-info/entry_points.txt": ENTRIES,
}


@pytest.fixture(params=["folder", "zip"])
def installed(request, tmp_path, monkeypatch):
    place = tmp_path / f"site.{request.param}"
    if request.param == "zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name, text in FILES.items():
                archive.writestr(name, text)
    else:
        for name, text in FILES.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "cellar_probe", raising=False)


def test_without_one_nothing_is_looked_for():
    assert not list(foreign())
    assert len(all_probes()) == len(BUILT_IN)


def test_it_is_one_of_all_and_what_is_none_is_left_out(installed, caplog):
    with caplog.at_level(logging.WARNING, "tracer"):
        names = [probe.name for probe in all_probes()]
    assert names[len(BUILT_IN) :] == ["cellar"]
    assert [record.args for record in caplog.records] == [("gone",)]


def test_folders_that_are_not_there_are_passed_over(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path / "nowhere"))
    (tmp_path / "site" / "cellar-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert not list(foreign())
