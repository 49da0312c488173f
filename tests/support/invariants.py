"""What the contract says of every request, checked from its JSON alone."""

from __future__ import annotations

import itertools
import re

LAYERS = {
    "server", "event_loop", "handler", "handoff",
    "middleware", "view", "network", "unattributed",
}  # fmt: skip
HOP_PHASES = {"prepare", "submit", "queue", "wake", "run", "notify", "return", "resume"}
METHODS = {
    "process_request", "process_view", "process_template_response",
    "process_response", "process_exception",
}  # fmt: skip
OUTCOMES = {"complete", "error", "disconnected", "cancelled"}
SEGMENT = {
    "start_ns", "end_ns", "layer", "detail", "part", "phase", "state", "thread", "certainty",
}  # fmt: skip
HOP = {
    "site", "direction", "start_ns", "phases", "event_loop_ns",
    "thread_started", "after_response", "overlapped", "parent",
}  # fmt: skip


def assert_tiles(request, *, named=True):
    """Every invariant of one `tracer.request/1` object.

    `named` is false where seams are refused, which costs names and threads.
    """
    assert request["schema"] == "tracer.request/1"
    _assert_head(request)
    start, end = request["start_ns"], request["end_ns"]
    _assert_contiguous(request["segments"], start, end, named=named)
    sums = dict.fromkeys(request["layers"], 0)
    for segment in request["segments"]:
        sums[segment["layer"]] = sums.get(segment["layer"], 0) + length(segment)
    assert sums == request["layers"]
    assert sum(request["layers"].values()) == end - start
    after = request["after_response_ns"]
    _assert_contiguous(request["after_response"], end, end + after, named=named)
    assert sum(map(length, request["after_response"])) == after
    for segment in request["overlapped"]:
        _assert_segment(segment, named=named)
        assert segment["end_ns"] <= end + after
    _assert_hops(request)
    assert 0 <= request["threads_started_after_response"] <= request["threads_started"]


def length(segment):
    return segment["end_ns"] - segment["start_ns"]


def _assert_head(request):
    assert re.fullmatch("[0-9a-f]{16}", request["request_id"])
    assert re.fullmatch("[0-9a-f]{32}", request["trace_id"])
    assert request["outcome"] in OUTCOMES
    assert request["interface"] in {"asgi", "wsgi"}
    assert request["window"] == "server"
    assert request["client"] is None
    for name in ("start_ns", "end_ns", "after_response_ns", "start_unix_ns", "pid"):
        assert type(request[name]) is int, name
    assert request["weight"] == 1
    assert isinstance(request["seams_absent"], list)


def _assert_contiguous(segments, start, end, *, named):
    if start == end:
        assert segments == []
        return
    assert segments[0]["start_ns"] == start
    assert segments[-1]["end_ns"] == end
    for segment in segments:
        _assert_segment(segment, named=named)
    for one, other in itertools.pairwise(segments):
        assert one["end_ns"] == other["start_ns"]


def _assert_segment(segment, *, named):
    assert set(segment) >= SEGMENT
    assert type(segment["start_ns"]) is type(segment["end_ns"]) is int
    assert segment["start_ns"] < segment["end_ns"]
    assert segment["layer"] in LAYERS
    assert segment["state"] in {"run", "wait"}
    assert segment["certainty"] in {"exact", "bound", "estimate"}
    allowed = {"handoff": HOP_PHASES - {"run"}, "middleware": METHODS}
    assert segment["phase"] is None or segment["phase"] in allowed.get(segment["layer"], ())
    if segment["state"] == "wait":
        assert segment["thread"] is None, segment
    elif named and segment["layer"] != "unattributed":
        assert type(segment["thread"]) is int, segment
    if named and segment["layer"] in {"middleware", "handoff", "event_loop"}:
        assert segment["detail"], segment


def _assert_hops(request):
    hops = request["hops"]
    for index, hop in enumerate(hops):
        assert set(hop) >= HOP
        assert set(hop["phases"]) == HOP_PHASES
        assert hop["direction"] in {"to_thread", "to_loop"}
        assert " → " in hop["site"]
        assert ":" in hop["site"].partition(" → ")[0]
        for phase in hop["phases"].values():
            assert phase is None or (type(phase) is int and phase >= 0)
        total = sum(filter(None, hop["phases"].values()))
        assert 0 <= hop["event_loop_ns"] <= total
        assert hop["parent"] is None or 0 <= hop["parent"] < len(hops)
        assert hop["parent"] != index
        assert hop["after_response"] == (hop["start_ns"] >= request["end_ns"])
