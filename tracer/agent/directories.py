"""The agent's side of ring directories: made, removed, and found again when nobody did."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracer.ring.directory import (
    ALIVE,
    LOCK,
    PREFIX,
    claim,
    home,
    is_inhabited,
    is_served,
    lock,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET: Final = "agent.sock"
_YOUNG_S: Final = 10.0


def new_directory() -> Path:
    """Make a directory that nobody else knows."""
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=home()))


def remove_if_empty(directory: Path, before: Callable[[], None] | None = None) -> bool:
    """Remove the directory unless somebody is alive there.

    Nobody can come from when `before` is called on.
    """
    try:
        alone = lock(directory / ALIVE, alone=True)
    except OSError:
        return not directory.exists()
    try:
        if before is not None:
            before()
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(alone)
    return True


def own_directories() -> list[Path]:
    """Return the ring directories of this user, those of agents that are gone included."""
    found: list[Path] = []
    try:
        entries = list(os.scandir(home()))
    except OSError:
        return found
    for entry in entries:
        try:
            mine = entry.stat(follow_symlinks=False).st_uid == os.geteuid()
            if mine and entry.name.startswith(PREFIX) and Path(entry.path, LOCK).exists():
                found.append(Path(entry.path))
        except OSError:
            continue
    return sorted(found)


def put_away_leftovers() -> None:
    """Remove this user's directories that nobody serves and in which nobody lives."""
    for directory in own_directories():
        try:
            young = time.time() - directory.stat().st_mtime < _YOUNG_S
            if young or is_served(directory) or is_inhabited(directory):
                continue
            held = claim(directory)
        except OSError:
            continue
        if held is not None:
            remove_if_empty(directory)
            os.close(held)
