"""OpenTelemetry's instrumentations of Django, a database and logging beside ours: one trace.

Real servers, a user's own exporter and ours into one real Jaeger.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.backends.jaeger import Jaeger
from tests.export.requests import request_of
from tests.observer.test_observer import count
from tests.support.run import Client, Run
from tests.support.server import ROOT, agents_of, wait_for
from tracer.analysis.spans.spans import trace_of

SITE = "tests.live_spans.site"
RUNS = (
    ("gunicorn-sync", "handoffs"),
    ("gunicorn-uvicorn", "handoffs"),
    ("gunicorn-uvicorn", "layers"),
)
MIDDLEWARE = "Asking"
AROUND = {"process_request": MIDDLEWARE, "process_response": MIDDLEWARE}
# Where each query was asked for, and the span that it and its log record belong to.
EXPECTED = {
    "rows/sync/": {"view": "view: rows.sync_view", "in a span": "mine"},
    "rows/async/": {
        "view": "view: rows.async_view",
        "in a span": "mine",
        "free thread": "view: rows.async_view",
    },
    "rows/nested/": {"view": "view: rows.nested_view"},
    "rows/atomic/": {"view": "view: rows.atomic_view"},
    "rows/rendered/": {"render": MIDDLEWARE},
    "rows/streamed/": {"stream": "GET rows/streamed/"},
}
LOOP = {"rows/async/": "view: rows.async_view", "rows/nested/": "view: rows.nested_view"}
BEGUN = "SELECT '"
APART_US = 250


class InstrumentedRun:
    """A server that was asked for each path once, and what a Jaeger and its log files have."""

    def __init__(self, name, level, directory, jaeger, *, traced=True):
        self.name, self.level, logs = name, level, directory / "logs"
        logs.touch()
        variables = {
            "TEST_TELEMETRY": "sdk,django,sqlite3,logging",
            "TEST_DATABASE": str(directory / "rows.sqlite3"),
            "TEST_LOGS": str(logs),
            "TEST_OTLP": jaeger.endpoint,
            "TRACER_OTLP": jaeger.endpoint,
            "TRACER_SPANS": level,
            "TEST_COUNT": str(ROOT),
            "PYTHONPATH": str(Path(__file__).parents[1] / "observer" / "count"),
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_METRICS_EXPORTER": "none",
        }
        self.answers = {}
        with Run(name, SITE, directory, variables, traced=traced) as server:
            client = Client(server)
            for path in EXPECTED:
                self.answers[path] = answer = client.ask(f"/{path}")
                assert answer.status == 200, (answer.body, server.text()[-3000:])
            self.counts = {path: count(client, f"/{path}") for path in EXPECTED}
            client.close()
            documents = server.records() if traced else []
            assert wait_for(lambda: not agents_of(server.recording), 30)
        asked = {one.trace_id: path for path, one in self.answers.items()}
        self.ours = {
            asked[one["trace_id"]]: {
                f"{span.span_id:016x}": span for span in trace_of(request_of(one), level).spans
            }
            for one in documents
            if one["trace_id"] in asked
        }
        self.spans = {
            path: {span.span_id: span for span in jaeger.trace(trace_id)}
            for trace_id, path in asked.items()
        }
        self.logs = [json.loads(line) for line in logs.read_text(encoding="utf-8").splitlines()]

    def parent(self, path, span):
        """The name of the span that one hangs from."""
        return self.spans[path][span.parent_id].name

    def theirs(self, path):
        return [one for one in self.spans[path].values() if one.span_id not in self.ours[path]]

    def queries(self, path):
        """The database's spans, by where they were asked for."""
        found = {}
        for one in self.theirs(path):
            statement = str(one.tags.get("db.statement", ""))
            if statement.startswith(BEGUN):
                found[statement.removeprefix(BEGUN).rstrip("'")] = one
        return found

    def logged(self, path, how):
        """Names of the spans that log records belong to, by their message."""
        trace_id = self.answers[path].trace_id
        return {
            message: self.spans[path][span_id].name
            for kind, message, of_trace, span_id in self.logs
            if kind == how and of_trace == trace_id
        }


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    with Jaeger(tmp_path_factory.mktemp("jaeger")) as one:
        yield one


@pytest.fixture(scope="module", params=RUNS, ids=" ".join)
def run(request, jaeger, tmp_path_factory):
    return InstrumentedRun(*request.param, tmp_path_factory.mktemp("run"), jaeger)


def test_it_is_one_trace_that_has_all_of_ours_and_theirs_and_one_beginning(run):
    for path, spans in run.spans.items():
        assert run.ours[path].keys() < spans.keys()
        (first,) = [one for one in spans.values() if one.parent_id not in spans]
        assert (first.name, first.tags["span.kind"]) == (f"GET {path}", "server")
        assert {one.process["service"] for one in spans.values()} == {"shop"}
        for one in run.theirs(path):
            assert one.tags["span.kind"] != "server"


def test_a_query_s_span_hangs_from_whoever_asked_with_its_attributes(run):
    for path, expected in EXPECTED.items():
        queries = run.queries(path)
        assert {where: run.parent(path, one) for where, one in queries.items()} == {
            **AROUND,
            **expected,
        }
        for where, one in queries.items():
            assert one.name == "SELECT"
            assert one.tags["span.kind"] == "client"
            assert one.tags["db.system"] == "sqlite"
            assert one.tags["db.statement"] == f"SELECT '{where}'"


def test_each_query_is_told_twice_ours_around_theirs(run):
    """Ours times Django's cursor, theirs the driver's, within; clocks may differ by a little."""
    for path, spans in run.spans.items():
        ours = [spans[one] for one in run.ours[path] if spans[one].name == "query"]
        theirs = [one for one in run.theirs(path) if "db.system" in one.tags]
        assert all(is_within(one, spans[one.parent_id]) for one in theirs)
        if run.level == "layers":
            assert not ours
            continue
        for query, one in zip(in_order(ours), in_order(theirs), strict=True):
            assert is_within(one, query), one


def test_statements_of_a_transaction_hang_from_the_view_too(run):
    path = "rows/atomic/"
    (begin,) = [one for one in run.theirs(path) if one.name == "BEGIN"]
    assert run.parent(path, begin) == "view: rows.atomic_view"


def test_django_s_own_span_sits_inside_ours_and_a_user_s_in_the_view(run):
    for path in EXPECTED:
        (django,) = [one for one in run.theirs(path) if "http.route" in one.tags]
        assert django.tags["http.route"] == path
        assert run.parent(path, django) == "_DjangoMiddleware"
    for path in ("rows/sync/", "rows/async/"):
        (mine,) = [one for one in run.theirs(path) if one.name == "mine"]
        assert run.parent(path, mine) == EXPECTED[path]["view"]


@pytest.mark.parametrize("how", ["record", "otel"])
def test_log_records_carry_the_ids_of_the_span_at_hand(run, how):
    for path, expected in EXPECTED.items():
        on_the_loop = {"view, loop": LOOP[path]} if path in LOOP else {}
        assert run.logged(path, how) == {**AROUND, **expected, **on_the_loop}
    (start,) = [one for one in run.logs if one[:2] == [how, "at the start"]]
    assert int(start[2], 16) == int(start[3], 16) == 0


def test_the_plain_api_says_the_same_span(run):
    for path, expected in EXPECTED.items():
        trace_id = run.answers[path].trace_id
        for where, told in json.loads(run.answers[path].body).items():
            assert told[0] == trace_id
            assert run.spans[path][told[1]].name == {**AROUND, **expected}[where]


def test_no_handoff_thread_or_task_is_added(run, jaeger, tmp_path):
    untraced = InstrumentedRun(run.name, run.level, tmp_path, jaeger, traced=False)
    assert run.counts == untraced.counts


def in_order(spans):
    return sorted(spans, key=lambda one: one.start_us)


def is_within(inner, outer):
    begins = outer.start_us - APART_US <= inner.start_us
    return begins and inner.end_us <= outer.end_us + APART_US
