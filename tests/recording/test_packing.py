from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recording.recordings import frame_of
from tests.support.timelines import SymbolicTimeline
from tracer.model import frames
from tracer.model.frames import FrameError
from tracer.model.timeline import Timeline
from tracer.recording.packing import (
    pack_occupancy,
    pack_timelines,
    together,
    unpack_occupancy,
    unpack_timelines,
)

IDS = (1, 2**127, None)
ANY = st.integers(-(2**63), 2**63 - 1)


def plain_of(numbers):
    return struct.pack(f"<{len(numbers)}q", *numbers)


def frames_in(packed):
    found = unpack_timelines(packed)
    return [
        (worker, head + found.marks_of(place).astype("<i8").tobytes())
        for place, (worker, head) in enumerate(zip(found.workers, found.heads, strict=True))
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.text(max_size=20), st.lists(ANY, max_size=24)), max_size=5
    )
)
def test_what_is_packed_is_unpacked_to_the_same_bytes(several):
    plain = []
    for worker, path, numbers in several:
        timeline = Timeline(worker, 5, 1, 2)
        timeline.path = path
        whole = numbers[: len(numbers) - len(numbers) % 4]
        plain.append((worker, frames.encode_timeline(timeline, plain_of(whole), 9, IDS)))
    assert frames_in(pack_timelines(together(plain))) == plain


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ANY, ANY, ANY, ANY, ANY), max_size=8))
def test_an_occupancy_log_is_unpacked_to_the_same_entries(entries):
    log = np.array(entries, np.int64).reshape(-1, 5)
    assert (unpack_occupancy(pack_occupancy(log)) == log).all()


def asgi_frame(number):
    """A request of 17 hand-offs, with instants and ids as uneven as real ones."""
    uneven = random.Random(number)
    hop = lambda: tuple(uneven.randrange(2_000, 90_000) for _ in range(4))  # noqa: E731
    inner = lambda: [("scope", "view", [("work", uneven.randrange(9_999))])]  # noqa: E731
    story = SymbolicTimeline()
    story.now += number * 10_000_000
    story.tell([("hop", hop(), [("scope", "middleware", inner())], False, None) for _ in range(17)])
    timeline = Timeline(number, story.marks[0][1], 1, 2)
    ids = (uneven.getrandbits(64), uneven.getrandbits(128), None)
    flat = plain_of([n for mark in story.marks for n in mark])
    return frames.encode_timeline(timeline, flat, story.now, ids)


def test_a_request_of_seventeen_hand_offs_takes_less_than_a_kilobyte():
    packed = pack_timelines(together([(1, asgi_frame(number)) for number in range(1, 129)]))
    assert len(packed) / 128 <= 1_000


@pytest.mark.parametrize("pack", [unpack_timelines, unpack_occupancy])
def test_garbage_is_refused_and_takes_no_memory(pack):
    good = pack_timelines(together([(1, frame_of(number)) for number in range(1, 5)]))
    places = random.Random(3)
    for length in range(0, len(good), 7):
        for damaged in (good[:length], places.randbytes(length), bytes(length)):
            with pytest.raises((FrameError, ValueError, zlib.error, struct.error)):
                pack(damaged)


def test_a_pack_that_says_it_holds_more_than_there_can_be_is_refused():
    column = struct.pack("<BBI", 0, 0, 0xFFFFFFFF)
    plain = struct.pack("<I", 5) + column * 5
    packed = struct.pack("<I", len(plain)) + zlib.compress(plain)
    with pytest.raises(FrameError):
        unpack_occupancy(packed)
    bomb = struct.pack("<I", 1 << 29) + zlib.compress(bytes(1 << 20))
    with pytest.raises(FrameError):
        unpack_timelines(bomb)
