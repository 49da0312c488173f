from __future__ import annotations

import contextlib
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.model import frames
from tracer.model.frames import FrameError
from tracer.model.timeline import Timeline

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
MARKS = st.lists(st.tuples(INT64, INT64, INT64, INT64), max_size=20)
NAMED = (
    "server",
    "interface",
    "loop",
    "http",
    "method",
    "route",
    "view",
    "outcome",
    "error_type",
    "endpoint",
)
PATHS = st.none() | st.text(st.characters(exclude_characters="\0"), min_size=1)


@st.composite
def timelines(draw):
    timeline = Timeline(draw(st.integers(1, 2**63 - 1)), draw(INT64), 0, 0)
    timeline.connection = draw(st.integers(0, 2**63 - 1))
    timeline.status = draw(st.integers(0, 999))
    timeline.weight = draw(st.floats(1, 1e9))
    timeline.path = draw(PATHS)
    for name in (*NAMED[:7], "endpoint"):
        setattr(timeline, name, draw(st.integers(0, 2**31 - 1)))
    return timeline


def encoded(timeline, marks, finish_ns=1, ids=(1, 1, None)):
    for mark in marks:
        timeline.append(mark)
    return frames.encode_timeline(timeline, timeline.finish(), finish_ns, ids)


@given(timelines(), MARKS, INT64, st.tuples(UINT64, st.integers(0, 2**128 - 1), st.none() | UINT64))
def test_a_timeline_comes_back_as_it_was(timeline, marks, finish_ns, ids):
    frame = encoded(timeline, marks, finish_ns, ids)
    head, found = frames.decode_timeline(frame)
    assert found == marks
    assert (head.request_id, head.trace_id, head.parent_span_id) == ids
    assert head.finish_ns == finish_ns
    for name in ("sequence", "start_ns", "connection", "status", "weight", *NAMED):
        assert getattr(head, name) == getattr(timeline, name)
    path = timeline.path and timeline.path.encode("utf-8", "replace").decode("utf-8", "replace")
    assert head.path == path


@given(timelines(), MARKS, INT64, st.tuples(UINT64, st.integers(0, 2**128 - 1), st.none() | UINT64))
def test_a_timeline_is_closed_as_it_is_encoded(timeline, marks, finish_ns, ids):
    for mark in marks:
        timeline.append(mark)
    wanted = frames.encode_timeline(timeline, timeline.packed(), finish_ns, ids)
    assert frames.closed(timeline, finish_ns, ids) == wanted
    timeline.append((1, 2, 3, 4))
    assert not timeline.packed()


@pytest.mark.parametrize("status", [2**31, None, "200"])
def test_a_status_that_is_none_loses_the_record(status):
    timeline = Timeline(1, 2, 3, 4)
    timeline.status = status
    with pytest.raises((struct.error, TypeError, OverflowError)):
        frames.closed(timeline, 5, (1, 2, None))


@given(st.lists(st.tuples(INT64, INT64, INT64, INT64, INT64), max_size=20))
def test_occupancy_comes_back_as_it_was(entries):
    numbers = [number for entry in entries for number in entry]
    found = frames.decode_occupancy(array("q", numbers).tobytes())
    assert [
        (one.start_ns, one.end_ns, one.thread, one.sequence, one.name) for one in found
    ] == entries


@pytest.mark.parametrize("decode", [frames.decode_timeline, frames.decode_occupancy])
@given(noise=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(decode, noise):
    with contextlib.suppress(FrameError):
        decode(noise)


@given(timelines(), MARKS, st.data())
def test_a_damaged_timeline_is_read_or_refused(timeline, marks, data):
    frame = bytearray(encoded(timeline, marks))
    for _ in range(data.draw(st.integers(1, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        head, found = frames.decode_timeline(bytes(frame))
    except FrameError:
        return
    assert len(found) * 32 <= len(frame)
    assert head.trace_id < 2**128


@given(timelines(), MARKS, st.floats(0, 1, exclude_max=True))
def test_a_truncated_timeline_is_refused(timeline, marks, share):
    frame = encoded(timeline, marks)
    with pytest.raises(FrameError):
        frames.decode_timeline(frame[: int(len(frame) * share)])


def test_a_frame_that_promises_more_than_it_has_is_refused():
    frame = bytearray(encoded(Timeline(1, 2, 0, 0), []))
    header = frames._HEADER
    fields = list(header.unpack(frame))
    fields[-4] = 2**32 - 1
    with pytest.raises(FrameError):
        frames.decode_timeline(header.pack(*fields))
