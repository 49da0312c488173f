"""Fields as protobuf writes them: https://protobuf.dev/programming-guides/encoding/ .

A place that is filled in later has a fixed width: a varint may have more bytes than it
needs, whoever reads it takes the low seven bits of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint64]

VARINT, FIXED64, BYTES = 0, 1, 2
WIDE: Final = 8
"""Bytes of a varint that is filled in later: they hold 56 bits."""
WIDE_BITS: Final = 7 * WIDE
SHORT: Final = 3
"""Bytes of a length that is filled in later."""
_SEVEN: Final = 0x7F


def tag(message: Any, name: str, kind: int) -> bytes:
    """Return what begins a field of a message, by its descriptor."""
    number: int = message.DESCRIPTOR.fields_by_name[name].number
    return varint(number << 3 | kind)


def varint(number: int, width: int = 0) -> bytes:
    """Return a number, at least `width` bytes long."""
    found = bytearray()
    while number > _SEVEN or len(found) < width - 1:
        found.append(number & _SEVEN | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(tagged: bytes, content: bytes, width: int = 0) -> bytes:
    """Return a field of bytes, with a length of at least `width` bytes."""
    return b"".join((tagged, varint(len(content), width), content))


def wide(numbers: Numbers) -> Numbers:
    """Return varints of `WIDE` bytes, each as the little-endian number that its bytes are."""
    found = np.full(len(numbers), 0x0080_8080_8080_8080, np.uint64)
    for place in range(WIDE):
        part = (numbers >> np.uint64(7 * place)) & np.uint64(_SEVEN)
        found |= part << np.uint64(8 * place)
    return found
