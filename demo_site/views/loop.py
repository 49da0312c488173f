"""Native async views, which run on the event loop itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.http import JsonResponse

from demo_site.cost import number, spin

if TYPE_CHECKING:
    from django.http import HttpRequest


async def nothing(request: HttpRequest) -> JsonResponse:
    """Answer at once, without a hand-off of its own."""
    return JsonResponse({"message": "async"})


async def sleeps(request: HttpRequest) -> JsonResponse:
    """Wait for a timer of `?ms=` (10) milliseconds; the loop is free meanwhile."""
    ms = number(request, "ms", 10)
    await asyncio.sleep(ms / 1000)
    return JsonResponse({"slept_ms": ms})


async def block(request: HttpRequest) -> JsonResponse:
    """Hold the loop for `?ms=` (20) milliseconds; every other request of the worker waits."""
    ms = number(request, "ms", 20)
    spin(ms)
    return JsonResponse({"blocked_ms": ms})
