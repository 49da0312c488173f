"""Speedscope itself opens what is written for it: its own release from npm, in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile

import pytest

from tests.flame.pictures import one
from tests.reports.browser import chromium
from tracer.reports.flame.speedscope import speedscope

RELEASE = "speedscope@1.25.0"


def missing(why):
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The folder of speedscope's release."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm isn't installed")
    folder = tmp_path_factory.mktemp("speedscope")
    done = subprocess.run(
        [npm, "pack", RELEASE], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        missing(f"npm has no {RELEASE}: {done.stderr[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "dist" / "release"


def test_speedscope_opens_it(release, tmp_path):
    picture = one()
    path = tmp_path / "one.speedscope.json"
    path.write_text(json.dumps(speedscope(picture)), encoding="utf-8")
    said = []
    with chromium() as browser:
        tab = browser.new_page()
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        tab.goto((release / "index.html").as_uri())
        tab.set_input_files("input[type=file]", path)
        tab.wait_for_selector("text=all threads, stitched (1/3)", timeout=10_000)
        tab.click("text=Sandwich")
        tab.wait_for_selector("text=time:sleep", timeout=10_000)
    assert said == []
