"""An armed request has no hand-off, thread or task more than one that isn't traced at all."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.observer import test_observer
from tests.observer.test_observer import FILL, SITE, count
from tests.support.run import Client, Run
from tests.support.server import ROOT

ROUTES = ("/test/", "/async/")
COUNT = Path(test_observer.__file__).parent / "count"


def counted(directory, *, traced, **flame):
    environment = {
        "DEMO_DATABASE": str(directory / "demo.sqlite3"),
        "TEST_COUNT": str(ROOT),
        "PYTHONPATH": str(COUNT),
        **flame,
    }
    with Run("uvicorn-h11-asyncio", SITE, directory, environment, traced=traced) as server:
        client = Client(server)
        for path in (FILL, *ROUTES):
            client.ask(path)
        time.sleep(0.05)
        found = {path: count(client, path) for path in ROUTES}
        client.close()
        server.stop()
    return found


@pytest.fixture(scope="module")
def untraced(tmp_path_factory):
    return counted(tmp_path_factory.mktemp("untraced"), traced=False)


@pytest.mark.parametrize("source", ["exact", "sampled"])
def test_equal_armed_and_untraced(untraced, source, tmp_path):
    flame = {"TRACER_FLAME": "all", "TRACER_FLAME_SOURCE": source}
    assert counted(tmp_path, traced=True, **flame) == untraced
