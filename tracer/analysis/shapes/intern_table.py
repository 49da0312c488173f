"""One table of names for the requests of all workers: texts, owners and sites, by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tracer.analysis.attribution.worker import owner_in
from tracer.model.layers import LAYERS, Owner

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]


class Numbers:
    """Gives things numbers from 0 on; the same thing has the same number."""

    def __init__(self) -> None:
        """Begin empty."""
        self._numbers: dict[Hashable, int] = {}
        self.things: list[Any] = []

    def __call__(self, thing: Hashable) -> int:
        """Return the number of a thing."""
        number = self._numbers.get(thing)
        if number is None:
            number = self._numbers[thing] = len(self.things)
            self.things.append(thing)
        return number


class InternTable:
    """What all plans name: texts, owners and sites, each by a number of its own."""

    def __init__(self) -> None:
        """Begin with the text that stands for none."""
        self.texts = Numbers()
        self.texts(None)
        self.owners = Numbers()
        self.sites = Numbers()
        self._blockers: dict[int, int] = {}

    def text(self, number: int) -> str | None:
        """Return the text with a number, None for one that nobody has."""
        found: str | None = self.texts.things[number] if number < len(self.texts.things) else None
        return found

    def owner(self, number: int) -> Owner:
        """Return the owner that a text tells of."""
        return owner_in(self.text(number))

    def blocker(self, number: int) -> int:
        """Return the owner's number of a blocker with a text's number."""
        found = self._blockers.get(number)
        if found is None:
            owner = Owner("event_loop", self.text(number))
            found = self._blockers[number] = self.owners(owner)
        return found

    def layers(self) -> Ints:
        """Return each owner's layer, as its place in `LAYERS`."""
        return np.array([LAYERS.index(one.layer) for one in self.owners.things], np.int64)

    def counted_sites(self) -> Flags:
        """Say of each site whether its hand-offs are those that a request is said to have."""
        return np.array([site.counts for site in self.sites.things], bool)
