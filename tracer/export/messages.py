"""What an agent sends its exporting process, one message after the other through a pipe."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracer.model.frames import OCCUPANCY, TIMELINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DESCRIPTION: Final = 101
NAMES: Final = 102
COUNTS: Final = 103
FRAMES: Final = frozenset({TIMELINE, OCCUPANCY})
"""Kinds of frames that spans and metrics are made from."""

_HEAD: Final = struct.Struct("<BxxxII")


class Message(NamedTuple):
    """A frame of a worker, or JSON about it; workers have numbers."""

    kind: int
    worker: int
    content: bytes

    def packed(self) -> bytes:
        """Return its bytes."""
        return _HEAD.pack(self.kind, self.worker, len(self.content)) + self.content


def description(worker: int, document: Any) -> Message:
    """Return the message of what a worker says of itself."""
    return Message(DESCRIPTION, worker, json.dumps(document).encode())


def names(worker: int, texts: list[str]) -> Message:
    """Return the message of names to append to a worker's table."""
    return Message(NAMES, worker, json.dumps(texts).encode())


def counts(worker: int, numbers: Mapping[str, int]) -> Message:
    """Return the message of what a worker counted so far; worker 0 is the agent."""
    return Message(COUNTS, worker, json.dumps(dict(numbers)).encode())


class Reader:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = bytearray()

    def feed(self, content: bytes) -> Iterator[Message]:
        """Take what came, give what is whole."""
        self._rest += content
        start = 0
        while len(self._rest) - start >= _HEAD.size:
            kind, worker, size = _HEAD.unpack_from(self._rest, start)
            end = start + _HEAD.size + size
            if len(self._rest) < end:
                break
            yield Message(kind, worker, bytes(self._rest[start + _HEAD.size : end]))
            start = end
        del self._rest[:start]
