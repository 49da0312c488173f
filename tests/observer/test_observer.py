"""Tracing adds no hand-off, thread or task to a request: counted with and without it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.run import Client, Run
from tests.support.server import ASGI, ROOT, SERVERS

SITE = "tests.observer.site"
NAMES = [name for name in SERVERS if name != "gunicorn-gthread"]
ROUTES = (
    "/test/", "/drf/", "/queries/2/", "/async/", "/raises/", "/nowhere/", "/sleep/?ms=1",
    "/stream/sync/?ms=0", "/stream/async/?ms=0", "/pool/sensitive/?count=2&ms=0",
    "/gather/?ms=0", "/nested/?depth=2&ms=0",
)  # fmt: skip
FILL = "/pool/free/?count=40&ms=10"
"""Starts all threads of the shared pool; else who happens to be idle decides."""
TRIES = 4


def counted(client):
    """What was counted, once nothing is counted any more."""
    before = None
    while True:
        now = json.loads(client.ask("/_counted").body)
        if before is not None and same(before, now):
            return now
        before = now
        time.sleep(0.008)


def same(before, now):
    """Asking itself costs a task each time under ASGI; nothing else."""
    return all(before[name] == now[name] for name in ("handoffs", "threads"))


def count(client, path):
    """What a request costs beyond being asked for: the least of several, for idle threads."""
    found = []
    for _ in range(TRIES):
        before = counted(client)
        client.ask(path)
        asked = json.loads(client.ask("/_counted").body)
        tasks = asked["tasks"] - before["tasks"]
        after = counted(client)
        found.append((after["handoffs"] - before["handoffs"],
                      after["threads"] - before["threads"], tasks))  # fmt: skip
    return min(found)


@pytest.fixture(scope="module", params=NAMES)
def counts(request, tmp_path_factory):
    """By route, what was counted without and with tracing."""
    directory = tmp_path_factory.mktemp("observer")
    environment = {
        "DEMO_DATABASE": str(directory / "demo.sqlite3"),
        "TEST_COUNT": str(ROOT),
        "PYTHONPATH": str(Path(__file__).parent / "count"),
    }
    found = {}
    for traced in (False, True):
        with Run(request.param, SITE, directory, environment, traced=traced) as server:
            client = Client(server)
            for path in (FILL, *ROUTES):
                client.ask(path)
            found[traced] = {path: count(client, path) for path in ROUTES}
            client.close()
            if traced:
                records = server.records()
    return request.param, found, records


@pytest.mark.parametrize("path", ROUTES)
def test_equal_with_and_without_tracing(counts, path):
    _, found, _ = counts
    assert found[True][path] == found[False][path]


def test_the_counters_count(counts):
    name, found, _ = counts
    handoffs, threads, tasks = found[False]["/test/"]
    if name in ASGI:
        assert handoffs >= 17
        assert threads >= 1
        assert tasks >= 1
    else:
        assert (handoffs, threads, tasks) == (0, 0, 0)
        assert found[False]["/nested/?depth=2&ms=0"][2] > 0


def test_the_probes_count_the_same(counts):
    """Hand-offs and threads as recorded; joining a thread is a hand-off of asgiref's own."""
    name, found, records = counts
    of_seed = [record for record in records if record["route"] == "test/"]
    hops = {len(record["hops"]) for record in of_seed}
    assert len(hops) == 1
    handoffs, threads, _ = found[True]["/test/"]
    joins = 1 if name in ASGI and handoffs == 18 else 0
    assert hops == {handoffs - joins}
    assert min(record["threads_started"] for record in of_seed) == threads
