"""Whatever of ours fails, every request is answered with the same bytes as untraced."""

from __future__ import annotations

import pytest

FAULTS = (
    "none", "mark", "open", "judge", "settle", "close", "occupy", "log", "name",
    "blocker", "endpoint", "note_error", "watch_loop", "site", "sink",
)  # fmt: skip
NOT_EVERYWHERE = {"none"}
"""Faults that some server never comes across."""


def differences(found, expected):
    return {key: (value, expected[key]) for key, value in found.items() if expected[key] != value}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_tracer_breaks_no_request(demo, fault):
    demo.tell(f"fault/{fault}")
    try:
        found, malformed = demo.alternating(), demo.malformed()
    finally:
        told = demo.tell("fault/none")
    assert told["was"] == fault
    assert told["hits"] or fault in NOT_EVERYWHERE, "nothing was broken"
    assert not differences(found, demo.expected)
    assert malformed == demo.expected["malformed"]


def test_a_refused_seam_breaks_no_request(demo):
    """Every seam on three servers, on the others only those that are theirs alone."""
    demo.few()  # what is imported by the first request has seams as well
    seams = demo.tell("seams")["seams"]
    assert len(seams) > 30
    broken = {}
    for number, seam in enumerate(seams):
        if demo.server.name in {"gunicorn-sync", "gunicorn-uvicorn"} and "gunicorn" not in seam:
            continue
        assert demo.tell(f"refuse/{number}")["refused"] == seam
        if bad := differences(demo.few(), demo.expected):
            broken[seam] = bad
    assert not broken
