from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.model import frames, stackframes
from tracer.model.stackframes import NO_NODE, Stacks, StacksError, Stretch, decode, encode, is_whole

NAMES = ("a\x1fouter\x1ffile.py\x1f3", "b\x1finnér\x1f/x/y.py\x1f12")
STACKS = Stacks(
    request_id=0xFEDCBA9876543210,
    start_ns=5,
    end_ns=900,
    source=stackframes.EXACT,
    interval_ns=0,
    threshold_ns=5_000,
    events=12,
    cost_ns=340,
    truncated=False,
    names=NAMES,
    nodes=((NO_NODE, 0), (0, 1)),
    stretches=(Stretch(10, 20, 7, 0), Stretch(20, 60, 7, 1), Stretch(30, 40, 8, 1)),
)
PLENTY = 1 << 20


def test_what_is_encoded_comes_back():
    frame = encode(STACKS, PLENTY)
    assert decode(frame) == STACKS
    assert stackframes.request_of(frame) == STACKS.request_id
    assert frames.is_whole(frames.STACKS, frame)


def test_nothing_at_all_can_be_encoded():
    empty = Stacks(1, 0, 0, 0, 500_000, 0, 0, 0, False, (), (), ())
    assert decode(encode(empty, PLENTY)) == empty


@pytest.mark.parametrize("most", [80, 150, 180, 200])
def test_what_has_no_room_is_cut_off_and_said(most):
    frame = encode(STACKS, most)
    assert len(frame) <= max(most, len(encode(STACKS, 0)))
    found = decode(frame)
    assert found.truncated
    assert found.stretches == STACKS.stretches[: len(found.stretches)]


def test_every_other_length_is_refused():
    frame = encode(STACKS, PLENTY)
    for length in range(len(frame)):
        assert not is_whole(frame[:length])
        with pytest.raises(StacksError):
            decode(frame[:length])
    assert not frames.is_whole(frames.STACKS, frame + b"\0")


@given(st.integers(0, len(encode(STACKS, PLENTY)) - 1), st.integers(0, 255))
def test_a_damaged_frame_is_refused_or_makes_sense(place, byte):
    frame = bytearray(encode(STACKS, PLENTY))
    frame[place] = byte
    try:
        found = decode(bytes(frame))
    except StacksError:
        return
    assert all(parent < number for number, (parent, _) in enumerate(found.nodes))
    assert all(0 <= name < len(found.names) for _, name in found.nodes)
    assert all(0 <= one.node < len(found.nodes) for one in found.stretches)


@given(st.binary(max_size=400))
def test_noise_is_refused_or_makes_sense(noise):
    with contextlib.suppress(StacksError):
        decode(noise)
