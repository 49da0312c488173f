"""Whatever of ours fails, every request is answered with the same bytes as untraced."""

from __future__ import annotations

import pytest

FAULTS = (
    "none", "mark", "open", "close", "occupy", "name",
    "culprit", "note_error", "watch_loop", "site", "sink",
)  # fmt: skip
NOT_EVERYWHERE = {"none", "watch_loop", "culprit", "occupy"}


def differences(found, expected):
    return {key: (found[key], value) for key, value in expected.items() if found[key] != value}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_tracer_breaks_no_request(demo, fault):
    demo.tell(f"fault/{fault}")
    try:
        found = demo.bytes()
    finally:
        told = demo.tell("fault/none")
    assert told["was"] == fault
    assert told["hits"] or fault in NOT_EVERYWHERE, "nothing was broken"
    assert not differences(found, demo.expected)


def test_a_refused_seam_breaks_no_request(demo):
    seams = demo.tell("seams")["seams"]
    assert len(seams) > 40
    broken = {}
    for number, seam in enumerate(seams):
        assert demo.tell(f"refuse/{number}")["refused"] == seam
        if bad := differences(demo.bytes(), demo.expected):
            broken[seam] = bad
    assert not broken
