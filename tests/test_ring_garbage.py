from __future__ import annotations

import contextlib
import random
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer import ring
from tracer.ring import RingError, RingReader, RingWriter

SMALL = 4096


def garbage_ring(directory, content):
    path = Path(directory) / "1-0.ring"
    path.write_bytes(content)
    return path


def drain(path):
    reader = RingReader(path)
    try:
        count = sum(1 for _ in reader.frames())
        assert isinstance(reader.dropped, int)
        return count
    finally:
        reader.close()


def refused_or_read(path):
    with contextlib.suppress(RingError):
        drain(path)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 5000))
def test_a_file_of_noise_is_no_ring(tmp_path_factory, noise, size):
    path = garbage_ring(tmp_path_factory.mktemp("ring"), noise.ljust(size, b"\xff"))
    with pytest.raises(RingError):
        drain(path)


def test_an_empty_file_is_no_ring(tmp_path):
    with pytest.raises(RingError, match="too short"):
        drain(garbage_ring(tmp_path, b""))


@pytest.mark.parametrize("capacity", [0, 1, 7, 9, 2**64 - 1, 2**63])
def test_a_header_with_an_impossible_capacity_is_refused(tmp_path, capacity):
    header = struct.pack("<8sQQ", ring.MAGIC, 1, capacity).ljust(ring.HEADER_SIZE, b"\0")
    body = b"\0" * capacity if capacity < SMALL else b""
    with pytest.raises(RingError):
        drain(garbage_ring(tmp_path, header + body))


def a_ring(head, tail, body, capacity=SMALL):
    header = bytearray(ring.HEADER_SIZE)
    struct.pack_into("<8sQQ", header, 0, ring.MAGIC, 1, capacity)
    struct.pack_into("<Q", header, ring._HEAD, head)
    struct.pack_into("<Q", header, ring._TAIL, tail)
    return bytes(header) + body.ljust(capacity, b"\0")[:capacity]


COUNTERS = st.integers(0, 2 * SMALL) | st.integers(0, 2**64 - 1)


@settings(max_examples=200, deadline=None)
@given(COUNTERS, COUNTERS, st.binary(max_size=300), st.integers(0, SMALL - 300))
def test_garbage_in_a_ring_is_read_or_refused(tmp_path_factory, head, tail, noise, place):
    body = b"\0" * place + noise
    refused_or_read(garbage_ring(tmp_path_factory.mktemp("ring"), a_ring(head, tail, body)))


@pytest.mark.parametrize("lengths", [(ring._WRAP,), (2**32 - 2,), (SMALL,), (8, 2**31)])
def test_frames_that_lie_about_their_length_neither_loop_nor_allocate(tmp_path, lengths):
    body, offset = bytearray(SMALL), 0
    for length in lengths:
        struct.pack_into("<II", body, offset, length, 1)
        offset += 16
    path = garbage_ring(tmp_path, a_ring(SMALL, 0, bytes(body)))
    tracemalloc.start()
    try:
        refused_or_read(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_wrap_mark_does_not_lead_beyond_what_was_written(tmp_path):
    body = struct.pack("<II", ring._WRAP, 0)
    path = garbage_ring(tmp_path, a_ring(16, 0, body))
    with pytest.raises(RingError):
        drain(path)


def test_a_ring_whose_tail_is_no_multiple_of_a_frame_is_refused(tmp_path):
    for tail in (SMALL - 4, 3, SMALL + 1):
        refused_or_read(garbage_ring(tmp_path, a_ring(tail + 8, tail, b"\xff" * SMALL)))


def test_random_damage_of_a_real_ring_is_read_or_refused(tmp_path):
    writer = RingWriter(tmp_path, SMALL)
    for number in range(40):
        writer.write(number, bytes(range(number)), [])
    (path,) = tmp_path.glob("*.ring")
    whole = path.read_bytes()
    places = random.Random(7)
    (tmp_path / "copy").mkdir()
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(places.randrange(1, 30)):
            damaged[places.choice((places.randrange(256), places.randrange(len(whole))))] = (
                places.randrange(256)
            )
        refused_or_read(garbage_ring(tmp_path / "copy", bytes(damaged)))


def test_a_ring_cut_short_after_it_was_opened_is_refused_or_read(tmp_path):
    RingWriter(tmp_path, SMALL).write(1, b"x" * 100, [])
    (path,) = tmp_path.glob("*.ring")
    whole = path.read_bytes()
    with pytest.raises(RingError):
        drain(garbage_ring(tmp_path, whole[:-1]))
