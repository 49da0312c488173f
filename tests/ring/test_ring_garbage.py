from __future__ import annotations

import contextlib
import os
import random
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.ring import layout as ring
from tracer.ring.layout import RingError
from tracer.ring.reader import RingReader
from tracer.ring.writer import RingWriter

SMALL = 4096


def garbage_ring(directory, content, frames=None):
    """A file of these bytes; with `frames`, they and nothing between come where frames stand."""
    path = Path(directory) / "1-0.ring"
    with path.open("wb") as file:
        file.write(content)
        if frames is not None:
            file.seek(ring.FRAMES)
            file.write(frames)
    return path


def drain(path):
    reader = RingReader(path)
    try:
        assert isinstance(reader.dropped, int)
        reader.names(0)
        assert isinstance(reader.description(), dict)
        return sum(1 for _ in reader.frames())
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
    header = ring.FIXED.pack(ring.MAGIC, 1, capacity, 1)
    body = b"\0" * capacity if capacity < SMALL else b""
    with pytest.raises(RingError):
        drain(garbage_ring(tmp_path, header, body))


def a_ring(directory, head, tail, body, *, texts=(0, 0), noise=b""):  # noqa: PLR0913
    header = bytearray(ring.PAGE)
    ring.FIXED.pack_into(header, 0, ring.MAGIC, 1, SMALL, 1)
    for place, number in (
        (ring.HEAD, head),
        (ring.TAIL, tail),
        (ring.NAMES_END, texts[0]),
        (ring.DESCRIBED, texts[1]),
    ):
        struct.pack_into("<Q", header, place * ring.WORD, number)
    path = garbage_ring(directory, bytes(header), body.ljust(SMALL, b"\0")[:SMALL])
    with path.open("r+b") as file:
        for place in (ring.DESCRIPTIONS, ring.DESCRIPTIONS + ring.DESCRIPTION_SIZE, ring.NAMES):
            file.seek(place)
            file.write(noise)
    return path


COUNTERS = st.integers(0, 2 * SMALL) | st.integers(0, 2**64 - 1)


@settings(max_examples=200, deadline=None)
@given(COUNTERS, COUNTERS, st.binary(max_size=300), st.integers(0, SMALL - 300))
def test_garbage_in_a_ring_is_read_or_refused(tmp_path_factory, head, tail, noise, place):
    body = b"\0" * place + noise
    refused_or_read(a_ring(tmp_path_factory.mktemp("ring"), head, tail, body))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 400) | COUNTERS,
    st.integers(0, 400) | COUNTERS,
    st.binary(max_size=300) | st.sampled_from([b'"a"\n' * 50, b"{}", b"[" * 300, b"1\n" * 99]),
)
def test_garbage_names_and_descriptions_are_read_or_refused(tmp_path_factory, names, told, noise):
    directory = tmp_path_factory.mktemp("ring")
    refused_or_read(a_ring(directory, 0, 0, b"", texts=(names, told), noise=noise))


@pytest.mark.parametrize("lengths", [(ring.WRAP,), (2**32 - 2,), (SMALL,), (8, 2**31)])
def test_frames_that_lie_about_their_length_neither_loop_nor_allocate(tmp_path, lengths):
    body, offset = bytearray(SMALL), 0
    for length in lengths:
        ring.FRAME.pack_into(body, offset, length, 1, 1)
        offset += 32
    path = a_ring(tmp_path, SMALL, 0, bytes(body))
    tracemalloc.start()
    try:
        refused_or_read(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_wrap_mark_does_not_lead_beyond_what_was_written(tmp_path):
    path = a_ring(tmp_path, 16, 0, ring.FRAME.pack(ring.WRAP, 0, 0))
    with pytest.raises(RingError):
        drain(path)


@pytest.mark.parametrize("tail", [ring.ALIGN - 1, ring.ALIGN + 1, SMALL - ring.ALIGN // 2])
def test_a_ring_whose_tail_is_no_multiple_of_a_frame_is_refused(tmp_path, tail):
    with pytest.raises(RingError, match="head and tail contradict each other"):
        drain(a_ring(tmp_path, 2 * SMALL - ring.ALIGN, tail, b""))
    aligned = tail // ring.ALIGN * ring.ALIGN
    frames = drain(a_ring(tmp_path, aligned + 4 * ring.ALIGN, aligned, b""))
    assert frames > 0, "the same is read where it begins with a frame"


def test_random_damage_of_a_real_ring_is_read_or_refused(tmp_path):
    writer = RingWriter(tmp_path, SMALL)
    writer.describe({"pid": 1})
    for number in range(40):
        writer.write([(number, bytes(range(number)))], [f"name {number}"])
    (path,) = tmp_path.glob("*.ring")
    whole, used = path.read_bytes(), (ring.DESCRIPTIONS, ring.NAMES, ring.FRAMES)
    places = random.Random(7)
    (tmp_path / "copy").mkdir()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(places.randrange(1, 30)):
            place = places.choice((0, *used)) + places.randrange(256)
            damaged[place] = places.randrange(256)
        refused_or_read(garbage_ring(tmp_path / "copy", bytes(damaged)))


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 300_000, ring.FRAMES, ring.FRAMES + 50])
def test_a_ring_cut_short_under_its_reader_is_refused(tmp_path, size):
    RingWriter(tmp_path, SMALL).write([(1, b"x" * 100)], ["name"])
    (path,) = tmp_path.glob("*.ring")
    reader = RingReader(path)
    os.truncate(path, size)
    calls = (
        reader.counters, reader.take, reader.release, reader.description, reader.ask_for_another
    )  # fmt: skip
    for call in (*calls, lambda: reader.names(0), lambda: reader.behind):
        with pytest.raises(RingError, match="truncated"):
            call()
    reader.close()
    with pytest.raises(RingError):
        RingReader(path)


def test_what_is_no_file_is_no_ring(tmp_path):
    os.mkfifo(tmp_path / "fifo.ring")
    (tmp_path / "folder.ring").mkdir()
    (tmp_path / "link.ring").symlink_to("/dev/zero")
    for path in tmp_path.iterdir():
        with pytest.raises((RingError, OSError)):
            RingReader(path)
