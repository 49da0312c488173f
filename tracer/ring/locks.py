"""Locks on open files: inherited by forks, given up with the last process that holds the file.

They are the kernel's "open file description" locks: a SIGKILL leaves none behind, a pid
that comes again is no matter, and asking whether one is held takes none.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

_FLOCK: Final = struct.Struct("hhqqi")  # struct flock: type, whence, start, length, pid


def hold_shared(descriptor: int) -> bool:
    """Hold the file together with others; False where somebody holds it alone."""
    return _set(descriptor, fcntl.F_RDLCK)


def hold_alone(descriptor: int) -> bool:
    """Hold the file alone; False where somebody else holds it."""
    return _set(descriptor, fcntl.F_WRLCK)


def is_held(descriptor: int) -> bool:
    """Say whether anybody holds the file through another opening of it than this one."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _set(descriptor: int, kind: int) -> bool:
    try:
        lock = _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except BlockingIOError:
        return False
    return True
