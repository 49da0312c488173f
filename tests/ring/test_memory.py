"""The ring's memory in C and in Python: the same bytes, the same answers."""

from __future__ import annotations

import mmap
import os
import time
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.ring.layout import CAPACITY, FRAMES, LAP, PAGE, SENT, TAIL, WANTED, WRITTEN
from tracer.ring.memory import DROPPED, LEAVE, TAKEN, UNREAD, PureRingMemory, RingMemory

SMALL = PAGE
COUNTS = array("Q", [3, 1, 4])
BOTH = [PureRingMemory] if RingMemory is PureRingMemory else [PureRingMemory, RingMemory]
LENGTHS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3 * SMALL // 4)), max_size=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), LENGTHS),
        st.tuples(st.just("skip"), LENGTHS),
        st.tuples(st.just("read"), st.just(())),
    ),
    max_size=40,
)


def run(kind, steps, lap):
    memory = mmap.mmap(-1, FRAMES + SMALL)
    ring, answers = kind(memory, SMALL, 7, 5, lap), []
    words = memoryview(memory).cast("Q")
    for what, lengths in steps:
        if what == "read":
            words[TAIL] = ring.head
            continue
        several = [(code, bytes(n % 251 for n in range(length))) for code, length in lengths]
        answers.append(ring.put(several, what == "put", COUNTS))
    return bytes(memory), answers, ring.head, ring.sent, ring.written


@given(STEPS, st.integers(1, 2 * SMALL))
def test_both_do_the_same(steps, lap):
    first, *others = [run(kind, steps, lap) for kind in BOTH]
    assert all(one == first for one in others)


@pytest.mark.parametrize("kind", BOTH)
def test_what_is_put_is_counted_and_what_does_not_fit_is_not_written(kind):
    memory = mmap.mmap(-1, FRAMES + SMALL)
    words = memoryview(memory).cast("Q")
    ring = kind(memory, SMALL, 0, 0, LAP)
    assert ring.put([(1, b"x" * 100)], True, COUNTS) == TAKEN
    assert ring.put([(1, b"x" * SMALL)], True, COUNTS) == DROPPED
    assert ring.put([(1, b"x")], False, COUNTS) == DROPPED
    assert (words[SENT], words[WRITTEN]) == (3, 1)
    words[WANTED] = 1
    assert ring.put([(1, b"x")], True, COUNTS) == LEAVE


def test_a_ring_that_nobody_reads_is_noticed_after_a_second():
    memories = [mmap.mmap(-1, FRAMES + SMALL) for _ in BOTH]
    rings = [kind(one, SMALL, 0, 0, LAP) for kind, one in zip(BOTH, memories, strict=True)]
    time.sleep(1.01)
    assert [ring.put([(1, b"x")], True, COUNTS) for ring in rings] == [UNREAD] * len(BOTH)
    for memory, ring in zip(memories, rings, strict=True):
        memoryview(memory).cast("Q")[TAIL] = ring.head
    assert [ring.put([(1, b"x")], True, COUNTS) for ring in rings] == [TAKEN] * len(BOTH)


@pytest.mark.parametrize("kind", BOTH)
def test_memory_that_is_there_no_more_is_an_error_and_no_signal(kind, tmp_path):
    path = tmp_path / "ring"
    with path.open("w+b") as file:
        file.truncate(FRAMES + CAPACITY)
        memory = mmap.mmap(file.fileno(), 0)
        ring = kind(memory, CAPACITY, 0, 0, LAP)
        file.truncate(0)
        with pytest.raises(OSError, match=r"."):
            ring.put([(1, b"x")], True, COUNTS)
        with pytest.raises(OSError, match=r"."):
            ring.touch(0, 8)


@pytest.mark.skipif(len(BOTH) == 1, reason="no accelerator")
def test_memory_too_small_for_its_frames_is_refused_by_the_accelerator():
    with pytest.raises(ValueError, match="smaller"):
        RingMemory(mmap.mmap(-1, PAGE), SMALL, 0, 0, LAP)
    with pytest.raises((TypeError, BufferError)):
        RingMemory(b"read only", SMALL, 0, 0, LAP)


@pytest.fixture
def file(tmp_path):
    with (tmp_path / "ring").open("w+b") as made:
        os.posix_fallocate(made.fileno(), 0, FRAMES + CAPACITY)
        yield made


def written_to(file):
    """Return a ring of a file's memory that has been written before, beginning anew."""
    memory = mmap.mmap(file.fileno(), 0)
    ring = RingMemory(memory, CAPACITY, 0, 0, 0, file.fileno())
    assert ring.put([(1, b"x" * 3 * PAGE)], True, COUNTS) == TAKEN
    memoryview(memory).cast("Q")[TAIL] = ring.head
    return ring


def is_open(descriptor):
    try:
        return bool(os.fstat(descriptor))
    except OSError:
        return False


def descriptors():
    return {number for number in range(1024) if is_open(number)}


@pytest.mark.parametrize("size", [0, FRAMES, FRAMES + 16])
def test_a_file_cut_short_between_two_frames_is_an_error_and_no_signal(file, size):
    ring = written_to(file)
    file.truncate(size)
    with pytest.raises(OSError, match=r"."):
        ring.put([(1, b"x" * 2 * PAGE)], True, COUNTS)


def test_a_file_that_lost_its_pages_gets_others(file):
    ring = written_to(file)
    file.truncate(0)
    file.truncate(FRAMES + CAPACITY)
    assert ring.put([(1, b"x")], True, COUNTS) in {TAKEN, DROPPED, UNREAD}


@pytest.mark.skipif(len(BOTH) == 1, reason="no accelerator")
def test_it_has_a_descriptor_of_its_own_and_closes_it(file):
    before = descriptors()
    ring = written_to(file)
    assert len(descriptors()) == len(before) + 2  # the mapping has one as well
    del ring
    assert descriptors() == before


@pytest.mark.skipif(len(BOTH) == 1, reason="no accelerator")
def test_a_descriptor_that_was_closed_and_is_another_s_now_is_let_be(file, tmp_path):
    """As by a program that closes all there are, and then opens its own."""
    before = descriptors()
    ring = written_to(file)
    own = max(descriptors() - before)
    with (tmp_path / "another").open("w+b") as other:
        other.truncate(2 * (FRAMES + CAPACITY))
        os.dup2(other.fileno(), own)
        assert ring.put([(1, b"x")], True, COUNTS) == TAKEN
        file.truncate(0)
        with pytest.raises(OSError, match=r"."):
            ring.put([(1, b"x" * 2 * PAGE)], True, COUNTS)
        del ring
        assert is_open(own)
    os.close(own)
