"""Names that figures are told apart by, and no more of them than a store can bear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.model.nametable import OTHER

if TYPE_CHECKING:
    from tracer.analysis.spans.span_attributes import Value

Labels = tuple[tuple[str, "Value"], ...]
"""Attributes of a series: names and values."""

OVERFLOW: Final[Labels] = (("otel.metric.overflow", True),)


class Names:
    """The first so many keep their names for good; whatever comes later is `OTHER`."""

    def __init__(self, most: int) -> None:
        """Know none yet."""
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str | None) -> str | None:
        """Return what a name is told as; none is none."""
        if name is None or name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name
