"""Tracks: a task, the stretch of a thread that a hand-off ran in, or the server's own thread.

Their entries say what they did: ran, waited, handed off, were run upon.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.model.layers import Owner


@dataclass(slots=True, eq=False)
class Piece:
    """A stretch in which a track ran, or waited for nothing we can follow."""

    start_ns: int
    end_ns: int
    owner: Owner
    thread: int | None
    waiting: bool = False
    blocked: bool = False
    due_ns: int | None = None
    timer: bool = False
    awaits: Track | None = None


@dataclass(slots=True, eq=False)
class HandoffMarks:
    """What the marks say of a hand-off: `sync_to_async`, or `async_to_sync` (`to_loop`).

    It runs from `track` on, what was handed over in `run`.
    """

    site: int
    to_loop: bool
    start_ns: int
    owner: Owner
    track: Track
    end_ns: int = 0
    submit_ns: int | None = None
    submitted_ns: int | None = None
    notified_ns: int | None = None
    free_ns: int = 0
    steps: list[int] = field(default_factory=list)
    run: Track | None = None
    thread_started: bool = False


@dataclass(slots=True, eq=False)
class Nested:
    """A step of another track that ran on top of this one, in the same thread."""

    start_ns: int
    end_ns: int
    track: Track


@dataclass(slots=True, eq=False)
class Track:
    """One task or thread of a request, and what it did."""

    number: int
    base: Owner
    parent: HandoffMarks | None = None
    foreign: bool = False
    entries: list[Piece | HandoffMarks | Nested] = field(default_factory=list)
    start_ns: int | None = None
    end_ns: int | None = None
    thread: int | None = None
    os_thread: int | None = None
    frames: list[tuple[int, Owner]] = field(default_factory=list)
    open: list[HandoffMarks] = field(default_factory=list)
    cursor: int = 0
    task: int = 0
    wait: Piece | None = None

    @property
    def owner(self) -> Owner:
        """Who owns what this track does now."""
        return self.frames[-1][1] if self.frames else self.base
