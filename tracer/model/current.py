"""Which request the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.model.timeline import Timeline

CURRENT: ContextVar[Timeline | None] = ContextVar("tracer_timeline", default=None)
"""The timeline of the request in whose context this code runs."""
