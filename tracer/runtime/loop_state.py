"""Which event loops are watched, those a traced request has run on, and what is kept of each."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tracer.model.native import native

WATCHED: Final = "_tracer_watched"
"""The attribute in which a watched loop has what its wrappers keep of it, by name."""


def begin(loop: Any) -> None:
    """Keep a place for what is known of a loop.

    asyncio's own loops keep the attribute themselves: they have some. uvloop's have none, and with
    one all their methods are looked up in a dictionary first: there it is their class's to know.
    """
    kind = type(loop)
    if native is not None and not isinstance(loop, asyncio.BaseEventLoop):
        try:
            if not hasattr(kind, WATCHED):
                setattr(kind, WATCHED, native.WeakAttribute())
        except TypeError:  # not a class that can be changed
            pass
    setattr(loop, WATCHED, {})
