"""Real servers under `tracer run --otlp`, a real Jaeger, and the recording beside it."""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from tests.backends.jaeger import Jaeger
from tests.export.requests import request_of
from tests.support.server import SERVERS, Server, agents_of, environment, requests_in, wait_for
from tracer.analysis.spans.spans import trace_of
from tracer.recording.file import read_meta

HTTP, GRPC = "http/protobuf", "grpc"
RUNS = (
    ("gunicorn-sync", HTTP),
    ("gunicorn-uvicorn", HTTP),
    # The dearest of them, and an exporting process that gives way sheds on a busy machine.
    pytest.param(("gunicorn-uvicorn", GRPC), marks=pytest.mark.alone),
)
PATHS = (
    "/test/", "/drf/", "/queries/2/", "/async/", "/raises/", "/nowhere/", "/sleep/?ms=1",
    "/stream/sync/?ms=0", "/stream/async/?ms=0", "/pool/sensitive/?count=2&ms=0",
    "/pool/free/?count=3&ms=1", "/gather/?ms=1", "/nested/?depth=2&ms=0", "/block/?ms=2", "/after/",
)  # fmt: skip
AT_ONCE = 4
REQUESTS = 200
ONE_US = 1


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    with Jaeger(tmp_path_factory.mktemp("jaeger")) as one:
        yield one


@pytest.fixture(scope="module", params=RUNS, ids=" ".join)
def exported(request, jaeger, tmp_path_factory):
    """Return what was recorded of a server's 200 requests, once all of them are exported."""
    name, protocol = request.param
    directory = tmp_path_factory.mktemp(name)
    recording = directory / "site.tracer"
    env = environment(
        DEMO_DATABASE=str(directory / "demo.sqlite3"),
        OTEL_SERVICE_NAME=f"{name} {protocol}",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    endpoint = jaeger.grpc_endpoint if protocol == GRPC else jaeger.endpoint
    run = ("tracer", "run", "--record", str(recording), "--otlp", endpoint)
    command = (*run, "--", sys.executable, "-m", *SERVERS[name])
    with Server(command, env, directory / "log") as server:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wait(pool.submit(server.ask, PATHS[n % len(PATHS)]) for n in range(REQUESTS))
        server.stop()
    assert wait_for(lambda: not agents_of(recording), 30)
    return env["OTEL_SERVICE_NAME"], requests_in(recording)


def test_nothing_is_missing_and_every_trace_has_the_tree_of_its_recording(exported, jaeger):
    name, recorded = exported
    assert len(recorded) == REQUESTS
    for document in recorded:
        found = {one.span_id: one for one in jaeger.trace(document["trace_id"])}
        wanted = trace_of(request_of(document)).spans
        assert {one: (span.parent_id, span.name) for one, span in found.items()} == {
            f"{span.span_id:016x}": (
                None if span.parent_id is None else f"{span.parent_id:016x}",
                span.name,
            )
            for span in wanted
        }
        root = found[document["request_id"]]
        assert root.tags["span.kind"] == "server"
        assert root.process["service"] == name
        assert root.process["deployment.environment.name"] == "test"
        assert root.process["process.pid"] == document["pid"]


def test_sums_are_those_of_the_recording_to_the_nanosecond(exported, jaeger):
    _, recorded = exported
    for document in recorded:
        spans = jaeger.trace(document["trace_id"])
        root = next(one for one in spans if one.span_id == document["request_id"])
        for layer, ns in document["layers"].items():
            assert root.tags[f"tracer.layer.{layer}.duration_ns"] == ns
        window, after = own_time(spans, root)
        assert +window == +Counter(document["layers"])
        assert after == document["after_response_ns"]
        assert root.tags["tracer.handoffs"] == sum(
            hop["direction"] == "to_thread" and not hop["after_response"]
            for hop in document["hops"]
        )


def test_times_are_those_of_the_recording_and_children_lie_inside_their_parents(exported, jaeger):
    _, recorded = exported
    for document in recorded:
        spans = jaeger.trace(document["trace_id"])
        by_id = {one.span_id: one for one in spans}
        root = by_id[document["request_id"]]
        start_us = document["start_unix_ns"] // 1000
        length_us = (document["end_ns"] - document["start_ns"]) / 1000
        assert abs(root.start_us - start_us) <= ONE_US
        assert abs(root.end_us - root.start_us - length_us) <= ONE_US
        for one in spans:
            if one is root or is_beside(one):
                continue
            parent = by_id[one.parent_id]
            assert parent.start_us - ONE_US <= one.start_us, (parent, one)
            assert one.end_us <= parent.end_us + ONE_US, (parent, one)


def test_handoffs_are_named_by_their_cause_and_say_their_phases(exported, jaeger):
    name, recorded = exported
    document = next(one for one in recorded if one["route"] == "test/")
    spans = [one for one in jaeger.trace(document["trace_id"]) if "tracer.handoff.site" in one.tags]
    assert len(spans) == len(document["hops"])
    hops = {hop["start_ns"]: hop for hop in document["hops"]}
    offset = document["start_unix_ns"] - document["start_ns"]
    for one in spans:
        start = min(hops, key=lambda ns: abs((ns + offset) / 1000 - one.start_us))
        hop = hops.pop(start)
        assert one.tags["tracer.handoff.site"] == hop["site"]
        for phase, ns in hop["phases"].items():
            assert one.tags.get(f"tracer.handoff.{phase}_ns") == ns
    names = {one.name for one in spans}
    if name.startswith("gunicorn-uvicorn"):
        assert "hand-off: CsrfViewMiddleware.process_request" in names
    else:
        assert not names


def test_middlewares_are_an_onion_around_the_view(exported, jaeger):
    _, recorded = exported
    document = next(one for one in recorded if one["route"] == "test/")
    by_id = {one.span_id: one for one in jaeger.trace(document["trace_id"])}
    view = next(one for one in by_id.values() if one.name == "view: rest.TestView")
    around = []
    while view is not None:
        if view.name.endswith("Middleware"):
            around.append(view.name)
        view = by_id.get(view.parent_id)
    assert around == [
        "XFrameOptionsMiddleware",
        "MessageMiddleware",
        "AuthenticationMiddleware",
        "CsrfViewMiddleware",
        "CommonMiddleware",
        "SessionMiddleware",
        "SecurityMiddleware",
    ]


def test_searches_by_equality_find_traces(exported, jaeger):
    name, recorded = exported
    errors = {one["trace_id"] for one in recorded if one["outcome"] == "error"}
    assert errors
    assert jaeger.search(name, {"tracer.outcome": "error"}) == errors
    assert jaeger.search(name, {"http.response.status_code": "500"}) == errors
    assert jaeger.search(name, {"tracer.handoffs.bucket": "11-20"}) == {
        one["trace_id"]
        for one in recorded
        if 11
        <= sum(h["direction"] == "to_thread" and not h["after_response"] for h in one["hops"])
        <= 20
    }


def ask(server, trace_id):
    """Ask as a caller of that trace; return the status."""
    return server.ask(headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"})[0]


def own_time(spans, root):
    """Return nanoseconds by layer that the window's spans own, and those after it."""
    below = {}
    for one in spans:
        below.setdefault(one.parent_id, []).append(one)
    window, after = Counter(), 0
    stack = [(root, "window")]
    while stack:
        one, section = stack.pop()
        own = one.tags["tracer.self_ns"]
        parts = {
            name.split(".")[2]: ns
            for name, ns in one.tags.items()
            if name.startswith("tracer.self.")
        }
        if section == "after":
            after += own
        elif section == "window" and (parts or own):
            window.update(parts or {one.tags["tracer.layer"]: own})
        for child in below.get(one.span_id, ()):
            inner = section
            if one is root and is_beside(child):
                inner = "after" if "tracer.after_response" in child.tags else "beside"
            stack.append((child, inner))
    return window, after


def is_beside(span):
    return "tracer.after_response" in span.tags or "tracer.overlapped" in span.tags


def test_a_restart_of_jaeger_harms_no_request_and_what_comes_after_is_there(tmp_path):
    recording = tmp_path / "site.tracer"
    env = environment(
        DEMO_DATABASE=str(tmp_path / "demo.sqlite3"),
        OTEL_BSP_SCHEDULE_DELAY="50",
        # Time for one more try: the connection is the old Jaeger's.
        OTEL_EXPORTER_OTLP_TIMEOUT="3",
    )
    with Jaeger(tmp_path) as jaeger:
        run = ("tracer", "run", "--record", str(recording), "--otlp", jaeger.endpoint)
        command = (*run, "--", sys.executable, "-m", *SERVERS["gunicorn-uvicorn"])
        with Server(command, env, tmp_path / "log") as server:
            before, away, after = ([secrets.token_hex(16) for _ in range(10)] for _ in range(3))
            answers = [ask(server, one) for one in before]
            jaeger.stop()
            answers += [ask(server, one) for one in away]
            time.sleep(0.5)
            jaeger.start()
            answers += [ask(server, one) for one in after]
            assert wait_for(lambda: all(jaeger.trace(one) for one in after), 20)
            server.stop()
        assert wait_for(lambda: not agents_of(recording), 30)
        recorded = requests_in(recording)
        assert answers == [200] * 30
        assert len(recorded) == 30
        said = read_meta(recording)["export"]
    assert said["exported_traces"] + said["failed_traces"] + said["shed_traces"] == 30
    assert said["exported_traces"] >= 10
