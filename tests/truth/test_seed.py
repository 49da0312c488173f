"""The case this began with, on every Django that is found: 17 hand-offs, all on the main track.

`TRACER_TEST_PYTHONS` names interpreters, separated like `PATH`; virtual environments beside
this one are looked at as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.invariants import assert_tiles
from tests.support.run import Client, Run
from tests.support.server import ROOT

_ASK = (
    "import asgiref, django, gunicorn, json, rest_framework, uvicorn;"
    "print(json.dumps([django.VERSION[:2], asgiref.__version__.split('.')[:2]]))"
)
JOINING_THREAD = (3, 13)
"""From this asgiref on, a second thread joins the request's own."""


def _found():
    named = os.environ.get("TRACER_TEST_PYTHONS", "").split(os.pathsep)
    beside = [*Path(sys.prefix).parent.glob("*/bin/python"), *ROOT.glob(".venv*/bin/python")]
    known = {}
    for python in [sys.executable, *filter(None, named), *map(str, sorted(beside))]:
        told = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=False)
        if told.returncode == 0:
            django, asgiref = json.loads(told.stdout)
            known.setdefault(tuple(django), (python, tuple(map(int, asgiref))))
    return known


@pytest.fixture(scope="module")
def interpreters():
    return _found()


@pytest.fixture(scope="module", params=[(6, 1), (5, 2)], ids="Django {0[0]}.{0[1]}".format)
def seed(request, interpreters, tmp_path_factory):
    if request.param not in interpreters:
        pytest.skip("no interpreter with this Django is found")
    python, asgiref = interpreters[request.param]
    directory = tmp_path_factory.mktemp("seed")
    environment = {"DEMO_DATABASE": str(directory / "demo.sqlite3")}
    with Run("uvicorn-h11-asyncio", "demo_site", directory, environment, python=python) as server:
        client = Client(server)
        client.repeat("/test/", 4)
        client.repeat("/test/", 2, keep=False)
        client.close()
        records = server.records()
        told = json.loads(server.report("json"))
    assert told["environment"]["django"].startswith("{}.{}.".format(*request.param))
    return records, told, asgiref


def test_seventeen_hand_offs(seed):
    records, told, _ = seed
    assert len(records) == 6
    for record in records:
        assert_tiles(record)
        assert record["route"] == "test/"
        assert Counter(hop["after_response"] for hop in record["hops"]) == {False: 16, True: 1}
        assert {hop["direction"] for hop in record["hops"]} == {"to_thread"}
    handoffs = told["configurations"][0]["handoffs"]
    assert handoffs["per_request"] == 16
    assert handoffs["after_response_per_request"] == 1


def test_all_are_on_the_main_track(seed):
    for record in seed[0]:
        assert not any(hop["overlapped"] for hop in record["hops"])
        assert record["layers"]["unattributed"] == 0


def test_threads_started(seed):
    """One for the request's hand-offs, and with newer asgiref one that joins it afterwards."""
    records, _, asgiref = seed
    joins = int(asgiref >= JOINING_THREAD)
    for record in records[1:]:
        assert record["threads_started"] == 1 + joins
        assert record["threads_started_after_response"] == joins
        assert sum(hop["thread_started"] for hop in record["hops"]) == 1


def test_who_asked_for_them(seed):
    """Six middlewares each way, `request_started`, `process_view`, the view and its render."""
    for record in seed[0]:
        sites = Counter(hop["site"].partition(" → ")[0] for hop in record["hops"])
        assert sites["django.utils.deprecation:MiddlewareMixin.__acall__"] == 12
        ran = {hop["site"].partition(" → ")[2] for hop in record["hops"]}
        assert "django.middleware.csrf.CsrfViewMiddleware.process_request" in ran
        assert "demo_site.views.rest.TestView" in ran
