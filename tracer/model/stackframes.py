"""The bytes in which a worker hands over the Python stacks of one request.

A frame stands by itself: its names are its own, for the worker's name table is bounded.
It is fixed-width and length-checked; one that lies about itself is refused.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES: Final = ("sampled", "exact")
"""How stacks were taken; a frame says which by its place."""
SAMPLED, EXACT = range(len(SOURCES))

NO_NODE: Final = -1
"""The parent of a node that has none."""

SEPARATOR: Final = "\x1f"
"""Between module, qualified name, file and line of a function's name."""

_HEADER: Final = struct.Struct("<Q6q3I2B2x")
_STRETCH_INTS: Final = 4
_WORD: Final = 8


class StacksError(ValueError):
    """A frame of stacks that cannot be read."""


class Stretch(NamedTuple):
    """From `start_ns` to `end_ns` the stack of an OS thread ended in `node`."""

    start_ns: int
    end_ns: int
    thread: int
    node: int


@dataclass(frozen=True, slots=True)
class Stacks:
    """What ran in one request, thread by thread.

    `nodes` are places in a tree of calls, `(parent, name)`: a parent comes before its
    children, `NO_NODE` has none. `names` hold module, qualified name, file and line.
    Stretches of one thread don't overlap. `interval_ns` is that of the samples; of exact
    calls those shorter than `threshold_ns` belong to their caller. `cost_ns` is what
    taking `events` calls or samples is known to have cost.
    """

    request_id: int
    start_ns: int
    end_ns: int
    source: int
    interval_ns: int
    threshold_ns: int
    events: int
    cost_ns: int
    truncated: bool
    names: tuple[str, ...]
    nodes: tuple[tuple[int, int], ...]
    stretches: tuple[Stretch, ...]


def encode(stacks: Stacks, most: int) -> bytes:
    """Return the frame, of `most` bytes; the last stretches that don't fit are cut off."""
    text = "\0".join(stacks.names).encode("utf-8", "replace")
    text += b"\0" * (-len(text) % _WORD)
    numbers = array("i", [number for node in stacks.nodes for number in node])
    fixed = _HEADER.size + len(text) + len(numbers) * numbers.itemsize
    room = max((most - fixed) // (_STRETCH_INTS * _WORD), 0)
    kept = stacks.stretches[:room]
    if fixed > most:
        text, numbers, kept = b"", array("i"), ()
    packed = array("q", [number for stretch in kept for number in stretch])
    header = _HEADER.pack(
        stacks.request_id,
        stacks.start_ns,
        stacks.end_ns,
        stacks.interval_ns,
        stacks.threshold_ns,
        stacks.events,
        stacks.cost_ns,
        len(text),
        len(numbers) // 2,
        len(kept),
        stacks.source,
        stacks.truncated or len(kept) < len(stacks.stretches),
    )
    return header + text + numbers.tobytes() + packed.tobytes()


def is_whole(frame: bytes) -> bool:
    """Say whether a frame is as long as it says."""
    if len(frame) < _HEADER.size:
        return False
    text, nodes, stretches = _HEADER.unpack_from(frame)[7:10]
    sizes = int(text) + int(nodes) * 8 + int(stretches) * _STRETCH_INTS * _WORD
    return len(frame) == _HEADER.size + sizes


def request_of(frame: bytes) -> int:
    """Return the id of the request that a whole frame is of."""
    return int(_HEADER.unpack_from(frame)[0])


def decode(frame: bytes) -> Stacks:
    """Return what a frame says; raise `StacksError` if it is malformed."""
    if not is_whole(frame):
        raise StacksError("frame of stacks of the wrong length")
    fields = _HEADER.unpack_from(frame)
    text_size, node_count, stretch_count, source, truncated = fields[7:]
    start = _HEADER.size
    text = frame[start : start + text_size].rstrip(b"\0").decode("utf-8", "replace")
    names = tuple(text.split("\0")) if text else ()
    start += text_size
    numbers = array("i", frame[start : start + node_count * 8])
    packed = array("q", frame[start + node_count * 8 :])
    nodes = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    stream = iter(packed)
    stretches = tuple(map(Stretch._make, zip(stream, stream, stream, stream, strict=True)))
    if (
        source >= len(SOURCES)
        or not _are_sane(nodes, len(names))
        or any(not 0 <= one.node < node_count or one.start_ns > one.end_ns for one in stretches)
    ):
        raise StacksError("frame of stacks that makes no sense")
    request_id, begin, end, interval, threshold, events, cost = fields[:7]
    return Stacks(
        request_id, begin, end, source, interval, threshold, events, cost, bool(truncated),
        names, nodes, stretches[:stretch_count],
    )  # fmt: skip


def _are_sane(nodes: Sequence[tuple[int, int]], names: int) -> bool:
    return all(
        NO_NODE <= parent < number and 0 <= name < names
        for number, (parent, name) in enumerate(nodes)
    )
