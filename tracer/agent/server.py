"""The server an agent belongs to: whether it, or anything it left behind, may still come."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_LINGER_S: Final = 2.0
_HEIRS_S: Final = 30.0
_LOOK_S: Final = 0.25


class Watch:
    """Says when an agent is no longer needed.

    With a process to watch: when that has ended and nobody is alive in the ring
    directory. A server may have been started in the background by it and not be that far
    yet; so where nobody was ever alive, processes that were given the directory in their
    environment are waited for a while. Without one: a little after the last has left,
    since the next worker may be on its way.
    """

    def __init__(self, pid: int, directory: Path) -> None:
        """Watch process `pid`, or none if that is 0."""
        self.descriptors = _pidfd(pid) if pid else ()
        self._lingers = not pid
        self._directory = os.fsencode(directory)
        self._ended_at = None if self.descriptors else time.monotonic()
        self._left_at = time.monotonic()
        self._ever = False
        self._look_at = 0.0

    def ended(self) -> None:
        """The process has ended."""
        self.descriptors = ()
        self._ended_at = time.monotonic()

    def is_over(self, *, needed: bool) -> bool:
        """Say whether nobody is left; `needed` says whether somebody is alive right now."""
        moment = time.monotonic()
        self._ever = self._ever or needed
        if needed:
            self._left_at = moment
        if needed or self._ended_at is None:
            return False
        if self._lingers:
            return moment - self._left_at > _LINGER_S
        if self._ever or moment - self._ended_at > _HEIRS_S:
            return True
        if moment < self._look_at:
            return False
        self._look_at = moment + _LOOK_S
        return not self._has_heirs()

    def _has_heirs(self) -> bool:
        """Look for a process that was given the directory."""
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    variables = Path(entry.path, "environ").read_bytes()
                except OSError:
                    continue
                if b"=" + self._directory + b"\0" in variables:
                    return True
        return False


def _pidfd(pid: int) -> tuple[int, ...]:
    try:
        return (os.pidfd_open(pid),)
    except OSError:
        return ()
