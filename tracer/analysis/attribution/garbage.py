"""Whose time a garbage collection is: of whoever it interrupted, as a part of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tracer.model.layers import Owner

GC: Final = "gc"


def collecting(owner: Owner) -> Owner:
    """Return who owns a collection that interrupted an owner."""
    return owner._replace(part=GC)
