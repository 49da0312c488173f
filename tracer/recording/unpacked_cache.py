"""What was packed or read a moment ago, as it is unpacked: it need not be unpacked again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tracer.recording.packing import Timelines

    Ints = NDArray[np.int64]

T = TypeVar("T")

_TIMELINES: Final = 8 << 20
_OCCUPANCY: Final = 2 << 20


class Newest(Generic[T]):
    """Things by their ids, as many as there is room for; the oldest go first."""

    def __init__(self, most: int) -> None:
        """Keep so many bytes at most."""
        self._room = most
        self._things: OrderedDict[int, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._things)

    def put(self, number: int, thing: T, size: int) -> None:
        """Keep a thing of so many bytes in place of what had its id."""
        self.take(number)
        self._things[number] = thing, size
        self._room -= size
        while self._room < 0:
            self.take(next(iter(self._things)))

    def get(self, number: int) -> T | None:
        """Return a thing, None if it isn't here (any more)."""
        found = self._things.get(number)
        return found[0] if found is not None else None

    def take(self, number: int) -> T | None:
        """Return a thing and keep it no longer."""
        found = self._things.pop(number, None)
        if found is None:
            return None
        self._room += found[1]
        return found[0]


class Unpacked:
    """Packs of one recording, by their ids in its tables."""

    def __init__(self, *, keep: bool = True) -> None:
        """Begin empty; keep nothing where nobody will ask."""
        self.timelines: Newest[Timelines] = Newest(_TIMELINES if keep else 0)
        self.occupancy: Newest[Ints] = Newest(_OCCUPANCY if keep else 0)
