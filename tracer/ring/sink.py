"""Where a worker's frames go: the one contract between it and whoever takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from array import array


class Sink(Protocol):
    """Takes frames out of the worker; never blocks, never raises for a full buffer."""

    largest: int
    """A frame of more bytes is dropped."""

    def write(self, several: list[tuple[int, bytes]], names: list[str]) -> None:
        """Take frames `(kind, content)` and the names that were given out since the last ones."""

    def describe(self, document: dict[str, object]) -> None:
        """Take what is known of this process."""

    def count(self, counts: array[int]) -> None:
        """Take how many requests there were, by `tracer.model.frames.COUNTERS`.

        They go on counting: with each frame, and each call of this, as they are then.
        """
