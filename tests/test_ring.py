from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
from itertools import pairwise

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
