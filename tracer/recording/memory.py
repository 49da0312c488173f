"""A sink for tests and for `wrap` without an agent: keeps frames in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.analysis.attribution.attribute import attribute
from tracer.analysis.attribution.worker import Worker
from tracer.model import frames

if TYPE_CHECKING:
    from array import array

    from tracer.analysis.attribution.request import Request


class MemorySink:
    """Keeps every frame; `requests()` attributes them."""

    largest = 1 << 62

    def __init__(self) -> None:
        """Begin empty."""
        self.frames: list[tuple[int, bytes]] = []
        self.names: list[str] = []
        self.description: dict[str, object] = {}
        self.counts = dict.fromkeys(frames.COUNTERS, 0)

    def write(self, several: list[tuple[int, bytes]], names: list[str]) -> None:
        """Keep frames."""
        self.names.extend(names)
        self.frames.extend(several)

    def describe(self, document: dict[str, object]) -> None:
        """Keep the description."""
        self.description = document

    def count(self, counts: array[int]) -> None:
        """Keep how many requests there were."""
        self.counts = dict(zip(frames.COUNTERS, counts, strict=True))

    def requests(self) -> list[Request]:
        """Return the requests finished so far, attributed, in the order they ended."""
        worker = Worker(self.description, tuple(self.names))
        busy = [
            entry
            for kind, frame in self.frames
            if kind == frames.OCCUPANCY
            for entry in frames.decode_occupancy(frame)
        ]
        return [
            attribute(*frames.decode_timeline(frame), worker, busy)
            for kind, frame in self.frames
            if kind == frames.TIMELINE
        ]
