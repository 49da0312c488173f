"""The directory in which workers and their agent meet: only its user can enter it.

Two files in it are locks (see `tracer.ring.locks`): `agent.lock` is held by the agent and its
guardian, so there is one; `alive` is held by every process that may hand something over,
and by all that it forks, so the agent knows when the last of them is gone.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from tracer.ring.locks import hold_alone, hold_shared, is_held

LOCK: Final = "agent.lock"
ALIVE: Final = "alive"
PREFIX: Final = "tracer-"
RING_HOME: Final = "TRACER_RING_HOME"
"""The variable that names where ring directories are made."""

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where there is one, rings belong there
_ROOM: Final = 512 * 1024 * 1024
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class DirectoryError(OSError):
    """A directory that must not be used; the text says why in one line."""


def home() -> Path:
    """Return where ring directories belong: in memory, where there is room."""
    named = os.environ.get(RING_HOME)
    if named:
        return Path(named).absolute()
    try:
        room = os.statvfs(_SHARED_MEMORY)
        if room.f_bavail * room.f_frsize > _ROOM and os.access(_SHARED_MEMORY, os.W_OK):
            return _SHARED_MEMORY
    except OSError:
        pass
    import tempfile  # noqa: PLC0415 - a traced worker hardly ever needs it

    return Path(tempfile.gettempdir())


def directory_of(recording: Path) -> Path:
    """Return the directory in which all who write a recording meet."""
    import hashlib  # noqa: PLC0415 - the same

    name = hashlib.sha256(os.fsencode(recording.absolute())).hexdigest()[:16]
    return home() / f"{PREFIX}{os.geteuid()}-{name}"


def check(directory: Path) -> None:
    """Raise `DirectoryError` unless it belongs to us (or to root) and nobody else may enter."""
    try:
        found = directory.lstat()
    except OSError as error:
        raise DirectoryError(f"{directory}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise DirectoryError(f"{directory}: not a directory")
    if found.st_uid not in (os.geteuid(), 0):
        raise DirectoryError(f"{directory}: belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise DirectoryError(f"{directory}: other users may enter it")


def make(directory: Path) -> None:
    """Make the directory if it isn't there, and check it; raise `DirectoryError`."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise DirectoryError(f"{directory}: cannot be made ({error.strerror})") from error
    check(directory)


def join(directory: Path) -> int:
    """Be alive there for as long as the descriptor returned is open, here or in a fork.

    Raises `OSError` where the directory is gone or its agent is about to remove it.
    """
    return lock(directory / ALIVE, alone=False)


def claim(directory: Path) -> int | None:
    """Become the one who serves it, while the descriptor is open; None if somebody does."""
    try:
        return lock(directory / LOCK, alone=True)
    except BlockingIOError:
        return None


def is_served(directory: Path) -> bool:
    """Say whether an agent or its guardian is there."""
    return _is_held(directory / LOCK)


def is_inhabited(directory: Path) -> bool:
    """Say whether a process is alive that may hand something over."""
    return _is_held(directory / ALIVE)


def lock(path: Path, *, alone: bool) -> int:
    """Open and hold a file; raise `BlockingIOError` if another process is in the way."""
    descriptor = os.open(path, _FLAGS, 0o600)
    held = (hold_alone if alone else hold_shared)(descriptor)
    if held and os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    if held:
        raise FileNotFoundError(f"{path}: just removed")
    raise BlockingIOError(f"{path}: held by another process")


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return is_held(descriptor)
    finally:
        os.close(descriptor)
