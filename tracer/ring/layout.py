"""Where what stands in the file of a ring, and how that file is made."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

from tracer.ring.locks import hold_shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC: Final = b"tracer02"
PAGE: Final = 4096
CAPACITY: Final = 16 * 1024 * 1024
LAP: Final = 4 * 1024 * 1024
"""Frames go round in so much of a ring while its reader keeps up."""
DESCRIPTION_SIZE: Final = 128 * 1024
"""Of one of the two places where the process describes itself, in turn."""
NAMES_SIZE: Final = 1024 * 1024

DESCRIPTIONS: Final = PAGE
NAMES: Final = DESCRIPTIONS + 2 * DESCRIPTION_SIZE
FRAMES: Final = NAMES + NAMES_SIZE

FIXED: Final = struct.Struct("<8s3Q")
"""Magic, pid, capacity, a number of this process's own."""
# Numbers of eight bytes, by their place among all such. They are written one by one through a
# memoryview: that is one store, where `struct` clears its whole field first for all to see.
HEAD: Final = 8
"""Written by the worker, in this order: what is counted as sent can be found, or is dropped."""
SENT: Final = 9
WRITTEN: Final = 10
NAMES_END: Final = 14
"""Bytes of names."""
DESCRIBED: Final = 15
"""Which description stands: its number << 32 | its length."""
TAIL: Final = 16
"""From here on written by the reader."""
WANTED: Final = 17
"""1 to ask the worker for another ring."""
KEPT: Final = 18
LAST: Final = 19
"""Of the timelines up to this number, so many came."""
REQUESTS: Final = 128
"""What the worker counts of its requests, sampled or not: up to 64 numbers, all of them first."""
WORD: Final = 8
FRAME: Final = struct.Struct("<IIQ")
"""Length, kind, number of the timeline (0 for other kinds)."""
ALIGN: Final = 16
WRAP: Final = 0xFFFFFFFF


class RingError(ValueError):
    """A ring file that isn't one, or that contradicts itself."""


@contextlib.contextmanager
def new_file(path: Path, size: int) -> Iterator[tuple[mmap.mmap, int]]:
    """Make a file whose memory is all there, mapped, with its descriptor; raise `OSError`.

    It gets its name when the block ends well, and is held (`tracer.ring.locks`) while it is mapped.
    """
    room = os.statvfs(path.parent)
    if room.f_bavail * room.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    temporary = path.with_suffix(".new")
    flags = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_RDWR
    descriptor = os.open(temporary, flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        hold_shared(descriptor)
        yield mmap.mmap(descriptor, size), descriptor
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
