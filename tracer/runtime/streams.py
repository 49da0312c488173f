"""Marks of a body that is made and sent in pieces: so many that they must be folded.

Past the limit of a timeline's marks a piece that was sent is noted as an instant only, and
pulls between which nothing else was marked are added up. Their sum is marked as one pull
that ends with the last of them: how long they took is exact, where between them is not.
"""

from __future__ import annotations

from threading import get_ident as ident
from typing import TYPE_CHECKING, Final

from tracer.model.clock import now
from tracer.model.marks import MARK_LIMIT
from tracer.model.native import native
from tracer.model.timeline import PULL, PULLED, SENT
from tracer.runtime.scopes import mark, mark_at

if TYPE_CHECKING:
    from tracer.model.timeline import Timeline

TOGETHER: Final = 128
"""So many pulls are added up at most: what of them is cut off with the client is little."""


def sent(timeline: Timeline) -> None:
    """Note that bytes were handed to the kernel; past the limit only the last of them count."""
    timeline.last_ns = now()
    if len(timeline) < MARK_LIMIT:
        mark_at(timeline, (SENT, timeline.last_ns, ident(), 0))
    else:
        timeline.folded += 1


if native is not None and not TYPE_CHECKING:
    sent = native.sent


class Pulls:
    """The pulls of one stream, one after the other."""

    __slots__ = ("_count", "_marks", "_number", "_sum_ns", "_thread", "_timeline", "_until_ns")

    def __init__(self, timeline: Timeline, number: int) -> None:
        """Pull stream `number` of a request."""
        self._timeline = timeline
        self._number = number
        self._count = self._sum_ns = self._until_ns = self._thread = self._marks = 0

    def begin(self) -> int:
        """Mark that a chunk is pulled; past the limit only return when."""
        if len(self._timeline) < MARK_LIMIT:
            mark(self._timeline, PULL, self._number)
            return 0
        if self._marks != len(self._timeline):
            self._flush()
            self._marks = len(self._timeline)
        return now()

    def end(self, began_ns: int, *, last: bool = False) -> None:
        """Mark that a chunk, or the end, came; `began_ns` is what `begin` returned."""
        if not began_ns:
            mark(self._timeline, PULLED, self._number)
            return
        end_ns = now()
        alone = self._marks == len(self._timeline)
        if not alone:
            self._flush()
        self._count += 1
        self._sum_ns += end_ns - began_ns
        self._until_ns, self._thread = end_ns, ident()
        self._timeline.folded += 2
        if last or not alone or self._count >= TOGETHER:
            self._flush()

    def _flush(self) -> None:
        if self._count:
            since_ns = self._until_ns - self._sum_ns
            mark_at(self._timeline, (PULL, since_ns, self._thread, self._number))
            mark_at(self._timeline, (PULLED, self._until_ns, self._thread, self._number))
            self._timeline.folded -= 2
            self._count = self._sum_ns = 0
            self._marks = len(self._timeline)
