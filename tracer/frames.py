"""The bytes in which a worker hands over what it saw: fixed-width and length-checked.

Nothing here is executed or unpickled; a frame that lies about its length is refused.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.timeline import Mark, Timeline

TIMELINE: Final = 1
OCCUPANCY: Final = 2

_HEADER: Final = struct.Struct("<Qqq4QdQi9III?3x")
_MARK_INTS: Final = 4
_BUSY_INTS: Final = 5


class FrameError(ValueError):
    """A frame that cannot be read."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a request beside its marks; names are ids of the worker's table."""

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
    path: str | None


@dataclass(frozen=True, slots=True)
class Busy:
    """One stretch in which a thread of the worker ran something; `sequence` 0: no request."""

    start_ns: int
    end_ns: int
    thread: int
    sequence: int
    name: int


def encode_timeline(
    timeline: Timeline,
    numbers: Sequence[int],
    finish_ns: int,
    ids: tuple[int, int, int | None],
) -> bytes:
    """Return the frame of a finished timeline.

    `numbers` are its marks' integers, `ids` request, trace and parent span id.
    """
    request_id, trace_id, parent = ids
    path = timeline.path.encode("utf-8", "replace") if timeline.path else b""
    path += b"\0" * (-len(path) % 8)
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
        len(path),
        len(numbers) // _MARK_INTS,
        parent is not None,
    )
    return header + path + struct.pack(f"<{len(numbers)}q", *numbers)


def is_whole(kind: int, frame: bytes) -> bool:
    """Say whether a frame of this kind can be decoded; quicker than doing so."""
    if kind == OCCUPANCY:
        return len(frame) % (8 * _BUSY_INTS) == 0
    if kind != TIMELINE or len(frame) < _HEADER.size:
        return False
    path_length, mark_count, _ = _HEADER.unpack_from(frame)[19:]
    return len(frame) == _HEADER.size + int(path_length) + int(mark_count) * _MARK_INTS * 8


def decode_timeline(frame: bytes) -> tuple[Head, list[Mark]]:
    """Return head and marks of a timeline's frame; raise `FrameError` if it is malformed."""
    if not is_whole(TIMELINE, frame):
        message = "timeline frame of the wrong length"
        raise FrameError(message)
    fields = _HEADER.unpack_from(frame)
    path_length, _, has_parent = fields[19:]
    path = frame[_HEADER.size : _HEADER.size + path_length].rstrip(b"\0").decode("utf-8", "replace")
    numbers = array("q")
    numbers.frombytes(frame[_HEADER.size + path_length :])
    stream = iter(numbers)
    trace_id = fields[4] << 64 | fields[5]
    parent = fields[6] if has_parent else None
    known = (*fields[:4], trace_id, parent, *fields[7:19], path or None)
    return Head(*known), list(zip(stream, stream, stream, stream, strict=True))


def encode_occupancy(numbers: Sequence[int]) -> bytes:
    """Return the frame of an occupancy log: the numbers of its entries, one after the other."""
    return struct.pack(f"<{len(numbers)}q", *numbers)


def decode_occupancy(frame: bytes) -> list[Busy]:
    """Return the entries of an occupancy frame; raise `FrameError` if it is malformed."""
    if not is_whole(OCCUPANCY, frame):
        message = "occupancy frame of the wrong length"
        raise FrameError(message)
    numbers = array("q")
    numbers.frombytes(frame)
    stream = iter(numbers)
    return [Busy(*entry) for entry in zip(stream, stream, stream, stream, stream, strict=True)]
