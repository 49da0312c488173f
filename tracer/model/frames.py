"""The bytes in which a worker hands over what it saw: fixed-width and length-checked.

Nothing here is executed or unpickled; a frame that lies about its length is refused.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracer.model import stackframes
from tracer.model.marks import BUSY_INTS, MARK_INTS, unpack
from tracer.model.native import native

if TYPE_CHECKING:
    from tracer.model.marks import Mark
    from tracer.model.timeline import Timeline

TIMELINE: Final = 1
OCCUPANCY: Final = 2
STACKS: Final = 3

COUNTERS: Final = ("seen", "sampled", "kept_slow", "kept_error", "remote_capped")
"""What a worker counts of its requests, in this order; the first are all there were."""

KEPT: Final = ("rate", "parent", "slow", "error")
"""Why a request is recorded; a frame says which by its place."""
RATE, PARENT, SLOW, ERROR = range(len(KEPT))

Ids = tuple[int, int, int | None]
"""Of the request, its trace, and the caller's span."""

_HEADER: Final = struct.Struct("<Qqq4QdQi9I3I?B2xI")
if native is not None:
    native.frame_layout(_HEADER.size)


class FrameError(ValueError):
    """A frame that cannot be read."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a request beside its marks; names are ids of the worker's table.

    `weight` is NaN where nobody knows how many requests this one stands for.
    """

    sequence: int
    start_ns: int
    finish_ns: int
    request_id: int
    trace_id: int
    parent_span_id: int | None
    weight: float
    connection: int
    status: int
    server: int
    interface: int
    loop: int
    http: int
    method: int
    route: int
    view: int
    outcome: int
    error_type: int
    folded: int
    path: str | None
    kept: int = RATE
    endpoint: int = 0

    @property
    def weight_known(self) -> bool:
        """Whether anybody knows how many requests this one stands for."""
        return self.weight > 0

    @property
    def reason(self) -> str:
        """Why the request is recorded, in a word of `KEPT`."""
        return KEPT[self.kept] if self.kept < len(KEPT) else "unknown"


@dataclass(frozen=True, slots=True)
class Busy:
    """One stretch in which a thread of the worker ran something; `sequence` 0: no request."""

    start_ns: int
    end_ns: int
    thread: int
    sequence: int
    name: int


def closed(timeline: Timeline, finish_ns: int, ids: Ids) -> bytes:
    """Return the frame of a timeline, which takes no more marks from now on."""
    return encode_timeline(timeline, timeline.finish(), finish_ns, ids)


if native is not None and not TYPE_CHECKING:
    closed = native.encode_closed


def encode_timeline(
    timeline: Timeline,
    packed: bytes,
    finish_ns: int,
    ids: Ids,
) -> bytes:
    """Return the frame of a finished timeline.

    `packed` are its marks, `ids` request, trace and parent span id.
    """
    request_id, trace_id, parent = ids
    path = _padded(timeline.path) if timeline.path else b""
    header = _HEADER.pack(
        timeline.sequence,
        timeline.start_ns,
        finish_ns,
        request_id,
        trace_id >> 64,
        trace_id & 0xFFFFFFFFFFFFFFFF,
        parent or 0,
        timeline.weight,
        timeline.connection,
        timeline.status,
        timeline.server,
        timeline.interface,
        timeline.loop,
        timeline.http,
        timeline.method,
        timeline.route,
        timeline.view,
        timeline.outcome,
        timeline.error_type,
        timeline.folded & 0xFFFFFFFF,
        len(path),
        len(packed) // (8 * MARK_INTS),
        parent is not None,
        timeline.kept,
        timeline.endpoint,
    )
    return header + path + packed


def _padded(path: str) -> bytes:
    content = path.encode("utf-8", "replace")
    return content + b"\0" * (-len(content) % 8)


def is_whole(kind: int, frame: bytes) -> bool:
    """Say whether a frame of this kind can be decoded; quicker than doing so."""
    if kind == OCCUPANCY:
        return len(frame) % (8 * BUSY_INTS) == 0
    if kind == STACKS:
        return stackframes.is_whole(frame)
    if kind != TIMELINE or len(frame) < _HEADER.size:
        return False
    path_length, mark_count = _HEADER.unpack_from(frame)[20:22]
    return len(frame) == _HEADER.size + int(path_length) + int(mark_count) * MARK_INTS * 8


def split(frame: bytes) -> tuple[bytes, bytes]:
    """Return the head of a timeline's frame and its marks' integers, little-endian, 8 bytes each.

    Raise `FrameError` if it is malformed.
    """
    if not is_whole(TIMELINE, frame):
        message = "timeline frame of the wrong length"
        raise FrameError(message)
    size = _HEADER.size + int(_HEADER.unpack_from(frame)[20])
    return frame[:size], frame[size:]


def decode_head(head: bytes) -> Head:
    """Return what the head of a timeline's frame says; raise `FrameError` if it is too short."""
    if len(head) < _HEADER.size:
        message = "timeline head of the wrong length"
        raise FrameError(message)
    fields = _HEADER.unpack_from(head)
    path_length, _, has_parent, *last = fields[20:]
    path = head[_HEADER.size : _HEADER.size + path_length].rstrip(b"\0").decode("utf-8", "replace")
    trace_id = fields[4] << 64 | fields[5]
    parent = fields[6] if has_parent else None
    known = (*fields[:4], trace_id, parent, *fields[7:20], path or None, *last)
    return Head(*known)


def decode_timeline(frame: bytes) -> tuple[Head, list[Mark]]:
    """Return head and marks of a timeline's frame; raise `FrameError` if it is malformed."""
    head, marks = split(frame)
    return decode_head(head), unpack(marks)


def decode_occupancy(frame: bytes) -> list[Busy]:
    """Return the entries of an occupancy frame; raise `FrameError` if it is malformed."""
    if not is_whole(OCCUPANCY, frame):
        message = "occupancy frame of the wrong length"
        raise FrameError(message)
    numbers = array("q")
    numbers.frombytes(frame)
    stream = iter(numbers)
    return [Busy(*entry) for entry in zip(stream, stream, stream, stream, stream, strict=True)]
