"""What the servers' probes keep of a connection or a worker between two calls: one attribute.

Never by its `__dict__`, and never more than one. CPython keeps an object's attributes in an array
while nobody asks for a dictionary (to 3.12) and as long as there are less than 30; uvicorn's
protocols have 28. Without the array each of the server's own lookups takes several times as long.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tracer.model.timeline import Timeline

_KEPT: Final = "_tracer_touches"
numbers: Final = itertools.count(1)
"""Of connections, in this process."""


class ConnectionState:
    """The number of a connection, and when its next request was first touched."""

    __slots__ = ("number", "opened", "touch")

    def __init__(self) -> None:
        """Begin with a number of its own."""
        self.number = next(numbers)
        self.touch = 0
        self.opened: Timeline | None = None

    def touched(self) -> int:
        """Return when the server touched the next request first, once; 0 if it hasn't."""
        touch, self.touch = self.touch, 0
        return touch


def connection_state_of(held: Any) -> ConnectionState:
    """Return what is kept of a server's object; something new where it can't have attributes."""
    kept: ConnectionState | None = getattr(held, _KEPT, None)
    if kept is None:
        kept = ConnectionState()
        with contextlib.suppress(AttributeError):
            setattr(held, _KEPT, kept)
    return kept
