"""A user's own spans hang from ours: one trace, right parents, no added hand-off."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from tests.export.backend import Backend
from tests.export.requests import request_of
from tests.observer.test_observer import count
from tests.support.run import Client, Run
from tests.support.server import ROOT
from tracer.analysis.spans.spans import trace_of

SITE = "tests.live_spans.site"
NAMES = ("gunicorn-sync", "uvicorn-h11-asyncio")
PATHS = ("sync/", "async/", "nested/")
VIEWS = {path: f"view: views.{path.rstrip('/')}_view" for path in PATHS}


class SpansRun:
    """A server that was asked for each path once with the caller's context, and what it made."""

    def __init__(self, name, directory, telemetry, *, traced=True):
        self.name, spans_file = name, directory / "spans"
        spans_file.touch()
        variables = {
            "TEST_SPANS": str(spans_file),
            "TEST_TELEMETRY": telemetry,
            "TEST_COUNT": str(ROOT),
            "PYTHONPATH": str(Path(__file__).parents[1] / "observer" / "count"),
        }
        self.answers, self.carried = {}, {}
        with (
            Backend() as backend,
            Run(
                name, SITE, directory, {**variables, "TRACER_OTLP": backend.url}, traced=traced
            ) as server,
        ):
            client = Client(server)
            for path in PATHS:
                self.answers[path], self.carried[path] = self._ask(client, path)
            self.counts = {path: count(client, f"/{path}") for path in PATHS}
            client.close()
            documents = server.records() if traced else []
        asked = {trace_id for trace_id, _ in self.answers.values()}
        self.documents = {one["route"]: one for one in documents if one["trace_id"] in asked}
        self.ours = {
            path: {f"{one.span_id:016x}": one for one in trace_of(request_of(document)).spans}
            for path, document in self.documents.items()
        }
        lines = spans_file.read_text(encoding="utf-8").splitlines()
        every = [json.loads(line) for line in lines]
        self.theirs = [one for one in every if one["trace_id"] in asked]

    @staticmethod
    def _ask(client, path):
        caller = secrets.token_hex(8)
        trace_id = secrets.token_hex(16)
        headers = {
            "traceparent": f"00-{trace_id}-{caller}-01",
            "tracestate": "shop=17",
            "baggage": "user=anna",
        }
        answer = client.ask(f"/{path}", headers=headers)
        assert answer.status == 200, answer.body
        return (trace_id, caller), json.loads(answer.body)

    def of(self, path):
        """The user's spans of a request, by name."""
        trace_id = self.answers[path][0]
        return {one["name"]: one for one in self.theirs if one["trace_id"] == trace_id}

    def parent(self, path, span):
        """The name of ours that a user's span hangs from."""
        found = self.ours[path].get(span["parent_id"])
        return found.name if found is not None else None


@pytest.fixture(scope="module", params=NAMES)
def run(request, tmp_path_factory):
    return SpansRun(request.param, tmp_path_factory.mktemp("live"), "sdk")


@pytest.fixture(scope="module", params=NAMES)
def instrumented(request, tmp_path_factory):
    return SpansRun(request.param, tmp_path_factory.mktemp("instrumented"), "sdk,django")


def test_spans_in_views_threads_and_middlewares_hang_from_ours(run):
    for path in PATHS:
        spans = run.of(path)
        assert run.parent(path, spans["in process_request"]) == "Spanning"
        assert run.parent(path, spans["in process_response"]) == "Spanning"
    assert run.parent("sync/", run.of("sync/")["in sync view"]) == VIEWS["sync/"]
    within = run.of("sync/")["within"]
    assert within["parent_id"] == run.of("sync/")["in sync view"]["span_id"]
    asynchronous = run.of("async/")
    assert run.parent("async/", asynchronous["in async view"]) == VIEWS["async/"]
    assert run.parent("async/", asynchronous["in sync_to_async"]) == VIEWS["async/"]
    assert run.parent("nested/", run.of("nested/")["in async_to_sync"]) == VIEWS["nested/"]


def test_every_span_is_in_its_caller_s_trace_and_lies_inside_ours(run):
    assert len(run.theirs) == 3 * 2 + 2 + 2 + 1
    for path in PATHS:
        trace_id, caller = run.answers[path]
        document = run.documents[path]
        assert (document["trace_id"], document["parent_span_id"]) == (trace_id, caller)
        known = {*run.ours[path], *(one["span_id"] for one in run.of(path).values())}
        assert all(one["parent_id"] in known for one in run.of(path).values())


def test_the_caller_s_context_is_carried_on_from_our_span(run):
    for path in PATHS:
        carried = run.carried[path]
        trace_id, _ = run.answers[path]
        version, carried_trace, parent, flags = carried["carried"]["traceparent"].split("-")
        assert (version, carried_trace, flags) == ("00", trace_id, "01")
        assert carried["carried"]["tracestate"] == "shop=17"
        assert carried["baggage"] == {"user": "anna"}
        if path != "async/":
            assert run.ours[path][parent].name == VIEWS[path]


def test_django_s_instrumentation_sits_inside_ours_with_its_attributes(instrumented):
    for path in PATHS:
        spans = instrumented.of(path)
        (django,) = [one for one in spans.values() if "http.route" in one["attributes"]]
        assert django["kind"] == "INTERNAL"
        assert django["attributes"]["http.route"] == path
        assert instrumented.parent(path, django) == "_DjangoMiddleware"
        assert instrumented.documents[path]["parent_span_id"] == instrumented.answers[path][1]
        assert (
            instrumented.parent("sync/", instrumented.of("sync/")["in sync view"]) == VIEWS["sync/"]
        )


def test_nothing_is_added_where_there_is_no_provider(tmp_path):
    plain = SpansRun("uvicorn-h11-asyncio", tmp_path, "")
    assert plain.theirs == []
    for path in PATHS:
        trace_id, caller = plain.answers[path]
        document = plain.documents[path]
        assert (document["trace_id"], document["parent_span_id"]) == (trace_id, caller)
        assert plain.carried[path] == {"carried": {}, "baggage": {}}


def test_no_handoff_is_added(instrumented, tmp_path):
    untraced = SpansRun(instrumented.name, tmp_path, "sdk,django", traced=False)
    assert instrumented.counts == untraced.counts
