"""The `Server-Timing` header on real servers: what it says, and where there is none."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import sys
from collections import Counter

import pytest

from tests.support.server import (
    HOST,
    NAMES,
    Server,
    agents_of,
    command_of,
    environment,
    requests_in,
    wait_for,
)

SITE = "tests.server_timing.site"
SERVERS = {
    **{name: command_of(name, SITE) for name in NAMES},
    "runserver": ("django", "runserver", f"{HOST}:{{port}}", "--noreload"),
}
PATHS = ("/plain/", "/waiting/", "/told/", "/streamed/", "/nowhere/")
ROUNDING_MS = 0.0006
TIME = re.compile(rb"(?mi)^date: .*\r\n")
LINE = re.compile(rb"(?mi)^server-timing: (.*)\r\n")


def raw(server, path, *headers):
    """Return a response as it came over the wire."""
    lines = (f"GET {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *headers, "", "")
    with socket.create_connection((HOST, server.port), 20) as sock:
        sock.sendall("\r\n".join(lines).encode())
        found = b""
        while chunk := sock.recv(65536):
            found += chunk
    return TIME.sub(b"", found)


@contextlib.contextmanager
def serving(name, directory, *options, **variables):
    """Run a server traced; give it and its recording."""
    directory.mkdir(exist_ok=True)
    recording = directory / "site.tracer"
    env = environment(DJANGO_SETTINGS_MODULE=f"{SITE}.settings", **variables)
    run = ("tracer", "run", "--record", str(recording), *options, "--")
    with Server((*run, sys.executable, "-m", *SERVERS[name]), env, directory / "log") as server:
        yield server, recording
        server.stop()
    assert wait_for(lambda: not agents_of(recording), 30)


@pytest.fixture(scope="module", params=SERVERS)
def answers(request, tmp_path_factory):
    """Return responses without and with the header, and what was recorded of the latter."""
    directory = tmp_path_factory.mktemp(request.param)
    caller = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    with serving(request.param, directory / "without") as (server, _):
        without = {path: raw(server, path) for path in PATHS}
    with serving(request.param, directory / "with", "--server-timing") as (server, recording):
        with_it = {path: raw(server, path) for path in PATHS}
        called = raw(server, "/plain/", f"traceparent: {caller}")
    return without, with_it, requests_in(recording), (caller, called)


def ours(answer):
    """Return the metrics of our header: name to its parameters."""
    value = LINE.findall(answer)[-1].decode()
    found = {}
    for metric in value.split(", "):
        name, *parameters = metric.split(";")
        found[name] = dict(one.split("=", 1) for one in parameters)
    return found


def of_trace(recorded, metrics):
    _, trace_id, request_id, flags = metrics["traceparent"]["desc"].strip('"').split("-")
    assert flags == "01"
    (found,) = (one for one in recorded if one["request_id"] == request_id)
    assert found["trace_id"] == trace_id
    return found


def test_it_is_absent_unless_asked_for_and_all_else_is_equal(answers):
    without, with_it, _, _ = answers
    for path in PATHS:
        assert b"dur=" not in without[path].replace(b"cache;dur=1.5", b"")
        lines = LINE.findall(with_it[path])
        assert len(lines) == (2 if path == "/told/" else 1)
        assert LINE.sub(b"", with_it[path]) == LINE.sub(b"", without[path])


def test_a_header_of_the_application_s_own_is_kept(answers):
    without, with_it, _, _ = answers
    assert LINE.findall(without["/told/"]) == [b"cache;dur=1.5"]
    assert LINE.findall(with_it["/told/"])[0] == b"cache;dur=1.5"


def test_layers_are_those_of_the_recording_until_the_headers_went(answers):
    _, with_it, recorded, _ = answers
    for path in PATHS:
        metrics = ours(with_it[path])
        document = of_trace(recorded, metrics)
        segments = document["segments"]
        made = next(n for n, one in enumerate(segments) if one["detail"] == "server timing")
        wanted = Counter()
        for one in segments[:made]:
            wanted[one["layer"]] += (one["end_ns"] - one["start_ns"]) / 1e6
        found = {name: float(one["dur"]) for name, one in metrics.items() if "dur" in one}
        # Whoever sends took the moment between looking at the clock and the first mark.
        sender = segments[made - 1]["layer"]
        # What others ran meanwhile may be handed over by then.
        loop = ("event_loop", "handoff")
        for layer in {*wanted, *found} - {sender, *loop}:
            assert found.get(layer, 0) == pytest.approx(wanted[layer], abs=ROUNDING_MS), layer
        both = sum(found.get(layer, 0) for layer in loop)
        assert both == pytest.approx(sum(wanted[layer] for layer in loop), abs=2 * ROUNDING_MS)
        assert 0 < found[sender] <= wanted[sender] + ROUNDING_MS
        if document["interface"] == "asgi":
            count = int(metrics["handoff"]["desc"].strip('"').split()[0])
            assert count == sum(one["start_ns"] < segments[made]["start_ns"]
                                for one in document["hops"])  # fmt: skip


def test_a_stream_s_header_says_nothing_of_its_chunks(answers):
    _, with_it, recorded, _ = answers
    metrics = ours(with_it["/streamed/"])
    document = of_trace(recorded, metrics)
    assert document["layers"]["view"] >= 5_000_000
    assert float(metrics.get("view", {"dur": 0})["dur"]) < 5


def test_the_caller_s_trace_is_continued(answers):
    _, _, recorded, (caller, called) = answers
    document = of_trace(recorded, ours(called))
    _, trace_id, parent, _ = caller.split("-")
    assert (document["trace_id"], document["parent_span_id"]) == (trace_id, parent)


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "gunicorn-sync"])
def test_a_request_that_is_not_recorded_has_none(name, tmp_path):
    options = ("--server-timing", "--sample-path", "/plain/=0", "--keep-slower-than", "1000s")
    with serving(name, tmp_path, *options) as (server, recording):
        assert not LINE.search(raw(server, "/plain/"))
        assert LINE.search(raw(server, "/told/"))
    assert [one["route"] for one in requests_in(recording)] == ["told/"]


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "gunicorn-sync"])
def test_the_variable_asks_for_it_too_and_a_failing_view_s_answer_has_it(name, tmp_path):
    with serving(name, tmp_path, TRACER_SERVER_TIMING="1") as (server, recording):
        answer = raw(server, "/raises/")
    assert b" 500 " in answer.splitlines()[0]
    assert of_trace(requests_in(recording), ours(answer))["outcome"] == "error"
