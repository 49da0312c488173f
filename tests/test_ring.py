from __future__ import annotations

import contextlib
import random
import struct
import subprocess
import sys
import textwrap
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer import ring
from tracer.ring import RingError, RingReader, RingWriter

SMALL = 4096


@pytest.fixture
def made(tmp_path):
    return lambda capacity=SMALL: RingWriter(tmp_path, capacity)


def reader_in(directory):
    (path,) = directory.glob("*.ring")
    return RingReader(path)


def test_frames_and_names_come_out_as_they_went_in(made, tmp_path):
    writer = made()
    writer.describe({"pid": 1})
    writer.write(1, b"one", ["a", "b\nc"])
    writer.write(2, b"", [])
    writer.write(1, b"three", ["\u2028\u0085é"])
    reader = reader_in(tmp_path)
    assert list(reader.frames()) == [(1, b"one"), (2, b""), (1, b"three")]
    assert list(reader.frames()) == []
    assert reader.names(0) == ["a", "b\nc", "\u2028\u0085é"]
    assert reader.names(2) == ["\u2028\u0085é"]
    assert reader.description() == {"pid": 1}
    assert reader.dropped == 0
    reader.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=60), st.integers(1, 5))
def test_frames_survive_going_around(tmp_path_factory, sizes, every):
    directory = tmp_path_factory.mktemp("ring")
    writer = RingWriter(directory, SMALL)
    reader, found, sent = None, [], []
    for number, size in enumerate(sizes):
        sent.append((number, bytes([number % 256]) * size))
        writer.write(*sent[-1], [])
        reader = reader or reader_in(directory)
        if number % every == 0:
            found += reader.frames()
    found += reader.frames()
    assert found == sent
    assert reader.dropped == 0
    reader.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1500), min_size=10, max_size=50))
def test_a_full_ring_drops_whole_frames_and_counts_every_one(tmp_path_factory, sizes):
    directory = tmp_path_factory.mktemp("ring")
    writer = RingWriter(directory, SMALL)
    for number, size in enumerate(sizes):
        writer.write(number, b"x" * size, [f"name {number}"])
    reader = reader_in(directory)
    found = list(reader.frames())
    assert len(found) + reader.dropped == len(sizes)
    assert all(len(frame) == sizes[number] for number, frame in found)
    assert len(reader.names(0)) == len(sizes), "a dropped frame loses no name"
    writer.write(99, b"room again", [])
    assert list(reader.frames()) == [(99, b"room again")]
    reader.close()


def test_a_frame_larger_than_the_ring_is_dropped(made, tmp_path):
    writer = made()
    writer.write(1, b"x" * SMALL, [])
    writer.write(1, b"fits", [])
    reader = reader_in(tmp_path)
    assert reader.dropped == 1
    assert list(reader.frames()) == [(1, b"fits")]
    reader.close()


def test_a_directory_that_is_gone_records_nothing_and_raises_nothing(tmp_path):
    writer = RingWriter(tmp_path / "gone", SMALL)
    writer.describe({"pid": 1})
    writer.write(1, b"frame", ["name"])
    writer.write(1, b"frame", [])


def test_a_disk_that_cannot_hold_the_ring_records_nothing_and_raises_nothing(tmp_path):
    writer = RingWriter(tmp_path, 1 << 60)
    writer.write(1, b"frame", ["name"])
    assert not list(tmp_path.glob("*.ring"))


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


def test_random_damage_of_a_real_ring_is_read_or_refused(made, tmp_path):
    writer = made()
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


def test_a_ring_cut_short_after_it_was_opened_is_refused_or_read(made, tmp_path):
    made().write(1, b"x" * 100, [])
    (path,) = tmp_path.glob("*.ring")
    whole = path.read_bytes()
    with pytest.raises(RingError):
        drain(garbage_ring(tmp_path, whole[:-1]))


def test_names_and_descriptions_of_a_worker_killed_while_writing_are_read(made, tmp_path):
    made().write(1, b"frame", ["whole"])
    (path,) = tmp_path.glob("*.ring")
    with path.with_suffix(".names").open("a") as names:
        names.write('"half a na')
    path.with_suffix(".json").write_text('{"pid": 1')
    reader = RingReader(path)
    assert reader.names(0) == ["whole"]
    assert reader.description() == {}
    reader.close()


@pytest.mark.parametrize("text", ["nonsense\n", "[1]\n", "\udcff"])
def test_garbage_among_the_names_is_refused(made, tmp_path, text):
    made().write(1, b"frame", ["whole"])
    (path,) = tmp_path.glob("*.ring")
    with path.with_suffix(".names").open("a", errors="surrogateescape") as names:
        names.write(text + "\n")
    reader = RingReader(path)
    with pytest.raises(RingError):
        reader.names(0)
    reader.close()


def test_a_forked_child_writes_a_ring_of_its_own(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from tracer.ring import RingWriter
        writer = RingWriter(Path(sys.argv[1]), 4096)
        writer.write(1, b"parent", [])
        if os.fork() == 0:
            writer.write(1, b"child", [])
            os._exit(0)
        os.wait()
        writer.write(1, b"parent", [])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), tmp_path], check=True)
    readers = [RingReader(path) for path in tmp_path.glob("*.ring")]
    found = sorted([frame for _, frame in reader.frames()] for reader in readers)
    assert found == [[b"child"], [b"parent", b"parent"]]
    for reader in readers:
        reader.close()


@pytest.mark.parametrize(("capacity", "complete"), [(8 << 20, True), (64 << 10, False)])
def test_a_reader_elsewhere_sees_every_frame_while_the_writer_goes_on(tmp_path, capacity, complete):
    code = """
        import struct, sys, time
        from pathlib import Path
        from tracer.ring import RingReader
        path, wanted, found = Path(sys.argv[1]), int(sys.argv[2]), []
        reader = RingReader(path)
        deadline = time.monotonic() + 30
        while len(found) + reader.dropped < wanted and time.monotonic() < deadline:
            for kind, frame in reader.frames():
                number, = struct.unpack_from("<Q", frame)
                assert frame == struct.pack("<Q", number) + bytes([number % 256]) * (number % 300)
                found.append(number)
        print(reader.dropped, *found)
    """
    wanted = 20_000
    writer = RingWriter(tmp_path, capacity)
    writer.write(0, struct.pack("<Q", 0), [])
    (path,) = tmp_path.glob("*.ring")
    command = [sys.executable, "-c", textwrap.dedent(code), path, str(wanted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reading:
        for number in range(1, wanted):
            frame = struct.pack("<Q", number) + bytes([number % 256]) * (number % 300)
            writer.write(0, frame, [])
        dropped, *found = map(int, reading.communicate(timeout=60)[0].split())
    assert len(found) + dropped == wanted
    assert not (complete and dropped)
    assert found[0] == 0
    assert all(one < two for one, two in pairwise(found))


def test_a_written_frame_is_seen_only_when_it_is_whole(made, tmp_path, monkeypatch):
    """The head moves last: until then a reader finds nothing new."""
    writer = made()
    writer.write(1, b"first", [])
    reader = reader_in(tmp_path)
    assert list(reader.frames()) == [(1, b"first")]
    seen = []

    class Watched:
        def pack_into(self, memory, place, *values):
            if place == ring._HEAD:
                seen.append(list(reader.frames()))
            struct.pack_into("<Q", memory, place, *values)

        def unpack_from(self, memory, place):
            return struct.unpack_from("<Q", memory, place)

    monkeypatch.setattr(ring, "_COUNTER", Watched())
    writer.write(2, b"second", [])
    assert seen == [[]]
    assert list(reader.frames()) == [(2, b"second")]
    reader.close()
