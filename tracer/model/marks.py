"""Where marks and occupancy are kept while a request runs: columns of integers.

In C where the accelerator is there; what stands here is the same in Python. Neither
takes a lock: appending to a list is one step of the interpreter, and so is the C code.
"""

from __future__ import annotations

import itertools
import struct
from array import array
from threading import get_ident as ident
from typing import TYPE_CHECKING, Final

from tracer.model.native import native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

Mark = tuple[int, int, int, int]
BusyNumbers = tuple[int, int, int, int, int]
"""Start and end instant, thread, sequence of the request (0: none), name of what ran."""

MARK_INTS: Final = 4
BUSY_INTS: Final = 5

MARK_LIMIT: Final = 20_000
"""From here on scopes are folded: their time stays with the scope around them."""

HARD_LIMIT: Final = 60_000
"""From here on nothing is written down any more."""


class PureMarks:
    """The marks of one request, append-only; `append` takes one. And the head of its frame.

    `next_id` gives a number that none of its hops or tracks has.

    `append` is the bound method of a list that holds the marks' integers one after the
    other: as quick as appending tuples, half the price to encode, and nothing for the
    garbage collector to look through. Marks come from several threads; those of one
    thread are in order.
    """

    __slots__ = (
        "_depths",
        "_numbers",
        "after",
        "append",
        "connection",
        "endpoint",
        "entered",
        "error_type",
        "folded",
        "handing",
        "http",
        "interface",
        "kept",
        "last_ns",
        "loop",
        "method",
        "next_id",
        "outcome",
        "route",
        "sequence",
        "server",
        "start_ns",
        "view",
        "weight",
    )

    def __init__(self) -> None:
        """Hold no marks."""
        self._numbers: list[int] = []
        self.append: Callable[[Mark], None] = self._numbers.extend
        self._depths: dict[int, int] | None = None
        self.next_id: Callable[[], int] = itertools.count(1).__next__
        self.entered: Callable[[Callable[[], Any]], Any] | None = None
        self.after = self.folded = self.handing = self.last_ns = 0
        self.sequence = self.start_ns = self.connection = 0
        self.server = self.interface = self.loop = self.http = self.endpoint = 0
        self.method = self.route = self.view = self.outcome = self.error_type = self.kept = 0
        self.weight = 1.0

    def __len__(self) -> int:
        """Return how many marks there are."""
        return len(self._numbers) // MARK_INTS

    def packed(self) -> bytes:
        """Return the marks' integers, eight bytes each."""
        numbers = tuple(self._numbers)
        return struct.pack(f"<{len(numbers)}q", *numbers)

    def drop(self) -> None:
        """Forget all marks and take no more."""
        self.append = discard
        self.entered = None
        self._numbers = []

    def full(self) -> bool:
        """Say whether scopes are to be folded."""
        return len(self._numbers) >= MARK_LIMIT * MARK_INTS

    def fold(self, *, begins: bool) -> bool:
        """Count a scope's begin or end past the limit; False where it is to be marked."""
        if len(self._numbers) < HARD_LIMIT * MARK_INTS:
            depths = self._depths = self._depths or {}
            here = ident()
            depth = depths.get(here, 0)
            if not begins and not depth:
                return False
            depths[here] = depth + (1 if begins else -1)
        else:
            self.append = discard
        self.folded += 1
        return True


class PureLog:
    """Who held a thread when: entries of five integers.

    `opened` is the timeline that the loop's current turn has begun, `reading` the name of such
    a turn, and `after` that of what a view's requests do after their answers.
    """

    __slots__ = ("_numbers", "after", "append", "opened", "reading")

    def __init__(self) -> None:
        """Hold no entries."""
        self._numbers: list[int] = []
        self.append: Callable[[BusyNumbers], None] = self._numbers.extend
        self.opened: Any = None
        self.after: dict[int, int] | None = None
        self.reading = 0

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._numbers) // BUSY_INTS

    def note(self, marks: PureMarks, start_ns: int, end_ns: int) -> bool:
        """Log what this thread did for a request; False where that has no name yet."""
        thread, sequence, answered = ident(), marks.sequence, marks.last_ns
        if not answered or answered >= end_ns:
            self.append((start_ns, end_ns, thread, sequence, marks.view))
            return True
        after = marks.after = marks.after or (self.after or {}).get(marks.view, 0)
        if not after:
            return False
        if answered > start_ns:
            self.append((start_ns, answered, thread, sequence, marks.view))
        self.append((max(answered, start_ns), end_ns, thread, sequence, after))
        return True

    def take(self) -> bytes:
        """Return all entries' integers, eight bytes each, and forget them."""
        count = len(self._numbers)
        numbers = self._numbers[:count]
        del self._numbers[:count]
        return struct.pack(f"<{count}q", *numbers)


def discard(_mark: Mark) -> None:
    """Stand in for `append` once no more marks are taken."""


def pack(marks: Iterable[Mark]) -> bytes:
    """Return what `Marks.packed` gives of these."""
    return b"".join(struct.pack("<4q", *mark) for mark in marks)


def unpack(packed: bytes) -> list[Mark]:
    """Return the marks that `packed` gave."""
    numbers = array("q")
    numbers.frombytes(packed)
    stream = iter(numbers)
    return list(zip(stream, stream, stream, stream, strict=True))


if TYPE_CHECKING or native is None:
    Marks = PureMarks
    Log = PureLog
else:
    Marks = native.Marks
    Log = native.Log
