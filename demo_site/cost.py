"""Costs that are known: read from the query string and spent to the microsecond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from django.core.exceptions import BadRequest

if TYPE_CHECKING:
    from django.http import HttpRequest

NS_PER_MS: Final = 1_000_000
LIMIT: Final = 60_000


def number(request: HttpRequest, name: str, default: float, most: float = LIMIT) -> float:
    """Return the query parameter `name`, between 0 and `most`."""
    text = request.GET.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise BadRequest(f"{name} is not a number") from error
    if not 0 <= value <= most:
        raise BadRequest(f"{name} is not between 0 and {most}")
    return value


def count(request: HttpRequest, name: str, default: int, most: int = 1000) -> int:
    """Return the query parameter `name` as a whole number, between 0 and `most`."""
    return int(number(request, name, default, most))


def spin(ms: float) -> None:
    """Keep the processor, and the GIL, busy for `ms` milliseconds of wall time."""
    end = time.perf_counter_ns() + round(ms * NS_PER_MS)
    while time.perf_counter_ns() < end:
        pass


def sleep(ms: float) -> None:
    """Block this thread for `ms` milliseconds, if any, and leave the GIL to others."""
    if ms:
        time.sleep(ms / 1000)


def spin_as_asked(request: HttpRequest, name: str) -> None:
    """Spin for the query parameter `name` in milliseconds; not at all without it."""
    ms = number(request, name, 0)
    if ms:
        spin(ms)
