"""Which track runs on which thread, and whose code each of them is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.analysis.attribution.track import Nested, Piece, Track
from tracer.model.layers import Owner

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCKED: Final = frozenset({("server", "body"), ("server", "close")})


class Threads:
    """The threads of a request while its marks are replayed.

    Each has a stack of tracks, of which the top one runs; each track has a stack of
    owners, of which the top one owns what it does.
    """

    def __init__(self, owner_of: Callable[[int], Owner], view: str, *, blocking: bool) -> None:
        """Begin with no thread. `blocking`: reading from the client is waiting for it."""
        self.foreign: dict[int, Track] = {}
        self._owner_of = owner_of
        self._blocking = blocking
        self._view = view
        self._active: dict[int, list[Track]] = {}
        self._os_threads: dict[int, int] = {}
        self.idents: dict[int, int] = {}

    def _is_of_kernel(self, thread: int, os_thread: int) -> None:
        """A thread is known to the kernel as that."""
        self._os_threads[thread] = os_thread
        self.idents.setdefault(os_thread, thread)

    def _top(self, thread: int) -> Track:
        stack = self._active.get(thread)
        if stack:
            return stack[-1]
        track = self.foreign.get(thread)
        if track is None:
            track = self.foreign[thread] = Track(
                -1, Owner("unattributed"), foreign=True, thread=thread
            )
        return track

    def _begin(self, track: Track, instant: int, thread: int) -> None:
        stack = self._active.setdefault(thread, [])
        if stack:
            self._account(stack[-1], instant)
            stack[-1].entries.append(Nested(instant, instant, track))
        stack.append(track)
        track.thread = thread
        track.os_thread = self._os_threads.get(thread, track.os_thread)
        track.cursor = instant
        if track.start_ns is None:
            track.start_ns = instant

    def _end(self, instant: int, thread: int, track: Track) -> None:
        stack = self._active.get(thread, [])
        if track not in stack:
            return
        while stack:
            left = stack.pop()
            self._account(left, instant)
            if left is track:
                break
        if stack:
            below = stack[-1]
            below.cursor = instant
            if below.entries and isinstance(below.entries[-1], Nested):
                below.entries[-1].end_ns = instant

    def _account(self, track: Track, instant: int) -> None:
        """Give the time since the track's cursor to whoever owns it now."""
        if not track.open and instant > track.cursor and (track.frames or not track.foreign):
            owner = track.owner
            blocked = self._blocking and (owner.layer, owner.detail) in _BLOCKED
            track.entries.append(
                Piece(track.cursor, instant, owner, track.os_thread, blocked=blocked)
            )
        track.cursor = max(track.cursor, instant)

    def _push(self, instant: int, thread: int, key: int, owner: Owner) -> None:
        track = self._top(thread)
        self._account(track, instant)
        track.frames.append((key, self._effective(track, owner)))

    def _effective(self, track: Track, owner: Owner) -> Owner:
        if not owner.layer:
            return track.owner._replace(part=owner.part)
        if owner.layer == "view" and owner.detail is None:
            return owner._replace(detail=self._view or None)
        return owner

    def _pop(self, instant: int, thread: int, value: int) -> None:
        track = self._top(thread)
        self._account(track, instant)
        for index in range(len(track.frames) - 1, -1, -1):
            if track.frames[index][0] == value:
                del track.frames[index:]
                return
