"""What spans of real servers say of where a request came in, of threads, and of code."""

from __future__ import annotations

import sys

import pytest

from tests.export.backend import Backend
from tests.export.requests import request_of
from tests.support.server import (
    ROOT,
    SERVERS,
    Server,
    agents_of,
    environment,
    requests_in,
    wait_for,
)
from tracer.analysis.spans.spans import trace_of

NAMES = ("uvicorn-httptools-uvloop", "gunicorn-sync", "gunicorn-gthread", "gunicorn-uvicorn")
PRIVATE = "who-asks.example"
HEADERS = {"Host": PRIVATE, "X-Forwarded-Host": PRIVATE, "User-Agent": PRIVATE, "Cookie": PRIVATE}
ABOUT_CLIENTS = (
    "client.",
    "user_agent.",
    "network.peer.",
    "url.query",
    "url.path",
    "http.request.h",
)


@pytest.fixture(scope="module", params=NAMES)
def served(request, tmp_path_factory):
    """Return a server's name and port, the spans that it exported, and what was recorded."""
    directory = tmp_path_factory.mktemp(request.param)
    recording = directory / "site.tracer"
    env = environment(DEMO_DATABASE=str(directory / "demo.sqlite3"), OTEL_BSP_SCHEDULE_DELAY="100")
    with Backend() as backend:
        run = ("tracer", "run", "--record", str(recording), "--otlp", backend.url)
        command = (*run, "--", sys.executable, "-m", *SERVERS[request.param])
        with Server(command, env, directory / "log") as server:
            for _ in range(3):
                assert server.ask("/test/?secret=1", headers=HEADERS)[0] == 200
            server.stop()
        assert wait_for(lambda: not agents_of(recording), 30)
        assert not [one for one in backend.messages if PRIVATE.encode() in one]
        return request.param, server.port, backend.spans(), requests_in(recording)


def said_by(span):
    values = ((one.key, one.value) for one in span.attributes)
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values}


def test_the_root_says_where_the_request_came_in_and_nothing_of_who_asked(served):
    _, port, spans, _ = served
    roots = [said_by(one) for one in spans if one.kind == one.SPAN_KIND_SERVER]
    assert len(roots) == 3
    for said in roots:
        assert said["url.scheme"] == "http"
        assert said["server.address"] == "127.0.0.1"
        assert said["server.port"] == port
        assert said["network.protocol.version"] == "1.1"
        assert not [name for name in said if name.startswith(ABOUT_CLIENTS)]


def test_spans_say_which_thread_began_them(served):
    name, _, spans, recorded = served
    threads = {one["ident"]: one for document in recorded for one in document["threads"]}
    views = set()
    for one in spans:
        said = said_by(one)
        if one.kind == one.SPAN_KIND_SERVER:
            assert "thread.id" in said
        if "thread.id" in said:
            assert said.get("thread.name") == threads[said["thread.id"]]["name"]
        if said.get("tracer.layer") == "view":
            views.add(said.get("thread.name"))
    if name == "gunicorn-gthread":
        assert {one.partition("-")[0] for one in views} == {"ThreadPoolExecutor"}
    else:
        assert views == {"MainThread" if name == "gunicorn-sync" else None}


def test_code_is_where_python_says_it_is(served):
    name, _, spans, _ = served
    by_name = {}
    for one in spans:
        said = said_by(one)
        by_name.setdefault(one.name, said)
        assert ("code.line.number" not in said) or "code.file.path" in said
    view = by_name["view: rest.TestView"]
    assert view["code.function.name"] == "demo_site.views.rest.TestView"
    assert view["code.file.path"] == str(ROOT / "demo_site" / "views" / "rest.py")
    security = by_name["SecurityMiddleware"]
    assert security["code.file.path"].endswith("django/middleware/security.py")
    assert security["code.line.number"] > 0
    if name.endswith(("uvicorn", "uvloop")):
        asked = by_name["hand-off: CsrfViewMiddleware.process_request"]
        assert asked["code.function.name"] == "django.utils.deprecation.MiddlewareMixin.__acall__"
        with open(asked["code.file.path"], encoding="utf-8") as file:  # noqa: PTH123
            line = file.read().splitlines()[asked["code.line.number"] - 1]
        assert "sync_to_async" in line or "await" in line


def test_they_are_those_of_the_recording(served):
    _, _, spans, recorded = served
    found = {int.from_bytes(one.span_id, "big"): said_by(one) for one in spans}
    names = ("thread.id", "url.scheme", "server.address", "server.port", "network.protocol.version")
    for document in recorded:
        for one in trace_of(request_of(document)).spans:
            said = found[one.span_id]
            assert {name: said.get(name) for name in names} == {
                name: one.attributes.get(name) for name in names
            }
