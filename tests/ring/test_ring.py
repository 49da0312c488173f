from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import textwrap
import threading
from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.model.frames import OCCUPANCY, TIMELINE
from tracer.ring import layout as ring
from tracer.ring import writer as ring_module
from tracer.ring.layout import CAPACITY, LAP, RingError
from tracer.ring.memory import PureRingMemory
from tracer.ring.reader import RingReader
from tracer.ring.writer import RingWriter

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
    writer.write([(1, b"one")], ["a", "b\nc"])
    writer.write([(2, b"")], [])
    writer.write([(1, b"three")], ["\u2028\u0085é"])
    reader = reader_in(tmp_path)
    assert list(reader.frames()) == [(1, b"one"), (2, b""), (1, b"three")]
    assert list(reader.frames()) == []
    assert reader.names(0) == ["a", "b\nc", "\u2028\u0085é"]
    assert reader.names(3) == []
    reader.forget_names()
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
        writer.write([sent[-1]], [])
        reader = reader or reader_in(directory)
        if number % every == 0:
            found += reader.frames()
    found += reader.frames()
    assert found == sent
    assert reader.dropped == 0
    reader.close()


def test_while_the_reader_keeps_up_frames_go_round_in_a_part_of_the_ring(made, tmp_path):
    writer, reader, places, came = made(CAPACITY), None, set(), 0
    for number in range(200):
        writer.write([(1, b"%4d" % number * 25_000)], [])
        reader = reader or reader_in(tmp_path)
        came += len(list(reader.frames()))
        places.add(reader.position % CAPACITY)
    assert (came, reader.dropped) == (200, 0)
    assert LAP <= max(places) <= LAP + 101_000
    writer.write([(2, b"x" * (CAPACITY // 2 - 100))], [])
    assert [len(frame) for _, frame in reader.frames()] == [CAPACITY // 2 - 100]
    reader.close()


def test_what_was_started_over_holds_as_much_as_one_lap_until_it_is_read(made, tmp_path):
    writer = made(CAPACITY)
    writer.write([(1, b"x" * LAP)], [])
    reader = reader_in(tmp_path)
    assert len(list(reader.frames())) == 1
    for number in range(20):
        writer.write([(1, b"%4d" % number * 50_000)], [])
    assert [frame[:4] for _, frame in reader.frames()] == [b"%4d" % n for n in range(20)]
    assert reader.dropped == 0
    reader.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1500), min_size=10, max_size=50))
def test_a_full_ring_drops_whole_frames_and_counts_every_one(tmp_path_factory, sizes):
    directory = tmp_path_factory.mktemp("ring")
    writer = RingWriter(directory, SMALL)
    for number, size in enumerate(sizes):
        writer.write([(TIMELINE, b"x" * size)], [f"name {number}"])
    reader = reader_in(directory)
    found = []
    while taken := reader.take():
        found += taken
    assert len(found) + reader.dropped == len(sizes)
    assert all(len(one.frame) == sizes[one.number - 1] for one in found)
    assert len(reader.names(0)) == len(sizes), "a dropped frame loses no name"
    reader.release()
    writer.write([(99, b"room again")], [])
    assert list(reader.frames()) == [(99, b"room again")]
    reader.close()


def test_a_frame_larger_than_the_ring_is_dropped(made, tmp_path):
    writer = made()
    writer.write([(1, b"x" * SMALL)], [])
    writer.write([(1, b"fits")], [])
    reader = reader_in(tmp_path)
    assert reader.dropped == 1
    assert list(reader.frames()) == [(1, b"fits")]
    reader.close()


def test_a_directory_that_is_gone_records_nothing_and_raises_nothing(tmp_path):
    writer = RingWriter(tmp_path / "gone", SMALL)
    writer.describe({"pid": 1})
    writer.write([(1, b"frame")], ["name"])
    writer.write([(1, b"frame")], [])
    assert not list(tmp_path.iterdir())


def test_a_disk_that_cannot_hold_the_ring_records_nothing_and_raises_nothing(tmp_path):
    writer = RingWriter(tmp_path, 1 << 60)
    writer.write([(1, b"frame")], ["name"])
    assert not list(tmp_path.glob("*.ring"))


def written(path, place, data):
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def test_names_and_descriptions_of_a_worker_killed_while_writing_are_not_read(made, tmp_path):
    writer = made()
    writer.describe({"pid": 1})
    writer.write([(1, b"frame")], ["whole"])
    (path,) = tmp_path.glob("*.ring")
    written(path, ring.NAMES + len('"whole"\n'), b'"half a na')
    written(path, ring.DESCRIPTIONS, b'{"pid": 2')
    reader = RingReader(path)
    assert reader.names(0) == ["whole"]
    assert reader.description() == {"pid": 1}
    reader.close()


def test_a_process_may_describe_itself_again(made, tmp_path):
    writer = made()
    for number in range(5):
        writer.describe({"number": number, "text": "x" * number * 100})
        writer.write([(1, b"")], [])
        reader = reader_in(tmp_path)
        assert reader.description()["number"] == number
        reader.close()
    writer.describe({"much": "x" * ring.DESCRIPTION_SIZE})
    reader = reader_in(tmp_path)
    assert reader.description()["number"] == 4
    reader.close()


def test_more_names_than_fit_cost_timelines_that_are_counted(made, tmp_path):
    writer = made()
    writer.write([(TIMELINE, b"one")], ["a"])
    writer.write([(TIMELINE, b"two")], ["b" * ring.NAMES_SIZE])
    writer.write([(TIMELINE, b"three")], [])
    reader = reader_in(tmp_path)
    assert [one.frame for one in reader.take()] == [b"one"]
    assert reader.counters() == (3, 3, 1)
    reader.close()


@pytest.mark.parametrize("text", ["nonsense\n", "[1]\n", "\udcff"])
def test_garbage_among_the_names_is_refused(made, tmp_path, text):
    made().write([(1, b"frame")], ["whole"])
    (path,) = tmp_path.glob("*.ring")
    garbage = text.encode(errors="surrogateescape").ljust(len('"whole"'), b"!") + b"\n"
    written(path, ring.NAMES, garbage)
    reader = RingReader(path)
    with pytest.raises(RingError):
        reader.names(0)
    reader.close()


def test_a_forked_child_writes_a_ring_of_its_own(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from tracer.ring.writer import RingWriter
        writer = RingWriter(Path(sys.argv[1]), 4096)
        writer.write([(1, b"parent")], [])
        if os.fork() == 0:
            writer.write([(1, b"child")], [])
            os._exit(0)
        os.wait()
        writer.write([(1, b"parent")], [])
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
        from tracer.ring.reader import RingReader
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
    writer.write([(TIMELINE, struct.pack("<Q", 0))], [])
    (path,) = tmp_path.glob("*.ring")
    command = [sys.executable, "-c", textwrap.dedent(code), path, str(wanted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reading:
        for number in range(1, wanted):
            frame = struct.pack("<Q", number) + bytes([number % 256]) * (number % 300)
            writer.write([(TIMELINE, frame)], [])
        dropped, *found = map(int, reading.communicate(timeout=60)[0].split())
    assert len(found) + dropped == wanted
    assert not (complete and dropped)
    assert found[0] == 0
    assert all(one < two for one, two in pairwise(found))


def test_a_written_frame_is_seen_only_when_it_is_whole(made, tmp_path, monkeypatch):
    """The head moves last: until then a reader finds nothing new."""
    monkeypatch.setattr("tracer.ring.writer.RingMemory", PureRingMemory)
    writer = made()
    writer.write([(1, b"first")], [])
    reader = reader_in(tmp_path)
    assert list(reader.frames()) == [(1, b"first")]
    seen = []

    class Watched:
        def __init__(self, words):
            self.words = words

        def __getitem__(self, place):
            return self.words[place]

        def __setitem__(self, place, value):
            if place == ring.HEAD:
                seen.append(list(reader.frames()))
            self.words[place] = value

    writer._ring.words = Watched(writer._ring.words)
    writer.write([(2, b"second")], [])
    assert seen == [[]]
    assert list(reader.frames()) == [(2, b"second")]
    reader.close()


def test_nothing_counts_as_read_before_it_is_released(made, tmp_path):
    writer = made()
    for number in range(3):
        writer.write([(TIMELINE, b"%d" % number)], [])
    for _ in range(2):
        reader = reader_in(tmp_path)
        assert [one.number for one in reader.take()] == [1, 2, 3]
        reader.close()
    reader = reader_in(tmp_path)
    reader.take()
    reader.release(3, 3)
    assert reader_in(tmp_path).progress() == (reader.position, 3, 3)
    assert reader_in(tmp_path).take() == []


def test_timelines_alone_are_numbered(made, tmp_path):
    writer = made()
    for kind in (TIMELINE, OCCUPANCY, TIMELINE, 9):
        writer.write([(kind, b"x")], [])
    taken = reader_in(tmp_path).take()
    assert [(one.kind, one.number) for one in taken] == [
        (TIMELINE, 1), (OCCUPANCY, 0), (TIMELINE, 2), (9, 0)
    ]  # fmt: skip


@pytest.mark.parametrize("size", [0, 100, ring.FRAMES, ring.FRAMES + 100])
def test_a_truncated_ring_is_followed_by_another_that_goes_on_counting(made, tmp_path, size):
    writer = made(1 << 20)
    writer.describe({"pid": 1})
    for number in range(500):
        writer.write([(TIMELINE, b"x" * 1000)], [f"name {number}"])
    writer.count(array("Q", [700, 1]))
    first = tmp_path / writer._path.name
    os.truncate(first, size)
    writer.count(array("Q", [701, 1]))
    writer.write([(TIMELINE, b"after")], ["new"])
    assert writer._path != first
    reader = RingReader(writer._path)
    assert [(one.number, one.frame) for one in reader.take()] == [(501, b"after")]
    assert len(reader.names(0)) == 501
    assert reader.description() == {"pid": 1}
    assert reader.counters() == (701, 501, 501)
    reader.close()


def test_a_reader_may_ask_for_another_ring(made, tmp_path):
    writer = made()
    writer.write([(TIMELINE, b"one")], ["a"])
    first = reader_in(tmp_path)
    first.ask_for_another()
    writer.write([(TIMELINE, b"two")], [])
    writer.write([(TIMELINE, b"three")], [])
    second = RingReader(writer._path)
    assert [one.number for one in first.take()] == [1, 2]
    assert [one.number for one in second.take()] == [3]
    assert second.names(0) == ["a"]


def test_a_full_ring_that_was_removed_is_followed_by_another(made, tmp_path):
    writer = made()
    writer.write([(TIMELINE, b"one")], [])
    writer._path.unlink()
    for _ in range(20):
        writer.write([(TIMELINE, b"x" * 1000)], [])
    reader = reader_in(tmp_path)
    taken = reader.take()
    assert reader.counters().sent == 21
    assert taken[-1].number <= 21
    assert taken[0].number > 2


def test_a_removed_ring_that_nobody_reads_is_missed_before_it_is_full(made, tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.ring.writer.RingMemory", PureRingMemory)
    writer = made(1 << 20)
    writer.write([(TIMELINE, b"one")], [])
    writer._path.unlink()
    writer.write([(TIMELINE, b"lost")], [])
    monkeypatch.setattr("tracer.ring.memory._NEGLECT_NS", -1)
    writer.write([(TIMELINE, b"lost")], [])
    writer.write([(TIMELINE, b"four")], [])
    reader = reader_in(tmp_path)
    assert [one.number for one in reader.take()] == [4]
    assert reader.counters() == (4, 4, 4)


def test_a_ring_that_is_read_is_not_looked_after(made, tmp_path, monkeypatch):
    writer = made(1 << 20)
    writer.write([(TIMELINE, b"one")], [])
    reader = reader_in(tmp_path)
    list(reader.frames())
    looked = []
    monkeypatch.setattr(writer, "_look_after", lambda: looked.append(1))
    writer.write([(TIMELINE, b"two")], [])
    assert looked == []


def test_a_ring_that_could_not_be_made_is_made_later_and_its_numbers_tell(tmp_path):
    writer = RingWriter(tmp_path / "late", SMALL)
    for name in "abc":
        writer.write([(TIMELINE, b"x")], [name])
    (tmp_path / "late").mkdir()
    writer._next_try = 0.0
    writer.write([(TIMELINE, b"x")], [])
    reader = reader_in(tmp_path / "late")
    assert [one.number for one in reader.take()] == [4]
    assert reader.names(0) == ["a", "b", "c"]


def test_a_ring_is_its_users_alone(made, tmp_path):
    before = os.umask(0)
    try:
        made().write([(TIMELINE, b"x")], [])
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600]


def test_a_writer_whose_descriptors_were_all_closed_goes_on(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from tracer.ring.writer import RingWriter
        writer = RingWriter(Path(sys.argv[1]), 4096)
        writer.write([(1, b"one")], ["a"])
        os.closerange(3, 256)
        mine = os.open(sys.argv[2], os.O_CREAT | os.O_RDWR)
        writer.write([(1, b"two")], ["b"])
        writer.describe({"pid": 1})
    """
    mine = tmp_path / "mine"
    (tmp_path / "rings").mkdir()
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path / "rings", mine], check=True
    )
    reader = reader_in(tmp_path / "rings")
    assert [one.frame for one in reader.take()] == [b"one", b"two"]
    assert mine.read_bytes() == b""


def test_a_ring_that_can_no_longer_be_looked_for_is_kept(made, tmp_path, monkeypatch):
    """A worker that gave root up can't enter the directory any more."""
    writer = made()
    writer.write([(TIMELINE, b"one")], [])

    def refused(_path):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.stat", refused)
    monkeypatch.setattr(ring_module, "_SHORTEST_PAUSE_S", 0.0)
    writer.write([(TIMELINE, b"two")], [])
    writer.write([(TIMELINE, b"three")], [])
    monkeypatch.undo()
    assert [one.number for one in reader_in(tmp_path).take()] == [1, 2, 3]


def test_of_threads_that_begin_at_once_none_loses_its_timeline(tmp_path):
    """A ring takes milliseconds to make, in which another thread may count or write."""
    writer, lock = RingWriter(tmp_path), threading.Lock()
    writer.describe({"pid": 1})
    begin = threading.Barrier(8)

    def work(number):
        begin.wait()
        writer.count(array("Q", [number]))
        with lock:
            writer.write([(TIMELINE, b"%d" % number)], [])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reader_in(tmp_path).take()) == 8
