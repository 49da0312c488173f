"""Views and a middleware that spend known times in known functions.

They burn time on the clock, so a busy machine makes none of it longer in the middle; what
they really took is noted with the answer, in nanoseconds.
"""

from __future__ import annotations

import asyncio
import time
import types

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin

MARKERS = 10


def burn(ms, took, name):
    """Call a function often for so long, and note how long it was."""
    start = time.perf_counter_ns()
    end = start + ms * 1_000_000
    while time.perf_counter_ns() < end:
        step()
    took[name] = time.perf_counter_ns() - start


def step():
    """Something to sample: samples are taken at calls and returns."""
    return sum(range(50))


def a(took):
    b(took)


def b(took):
    burn(30, took, "b")


def handed_over(took):
    burn(20, took, "handed_over")


def in_middleware(took):
    burn(15, took, "in_middleware")


async def awaited(took):
    start = time.perf_counter_ns()
    await asyncio.sleep(0.01)
    took["awaited"] = time.perf_counter_ns() - start


class Slow(MiddlewareMixin):
    """Sync only in what it does: on ASGI its work is handed to a thread."""

    def process_request(self, request):
        request.took = {}
        if not request.path.startswith(("/quick", "/markers")):
            in_middleware(request.took)


def sync_view(request):
    a(request.took)
    handed_over(request.took)
    async_to_sync(awaited)(request.took)
    return JsonResponse(request.took)


async def async_view(request):
    a(request.took)
    await sync_to_async(handed_over)(request.took)
    await awaited(request.took)
    return JsonResponse(request.took)


def _plain():
    return sum(range(100))


def _marker(number):
    name = f"marker_{number}"
    code = _plain.__code__.replace(co_name=name, co_qualname=name)
    return types.FunctionType(code, globals(), name)


MARKED = [_marker(number) for number in range(MARKERS)]


async def marked(_request, number):
    """Call one's own marker function on the loop and in a thread, letting others in between."""
    for _ in range(8):
        _call(number)
        await asyncio.sleep(0.001)
        await sync_to_async(_call, thread_sensitive=False)(number)
    return HttpResponse(str(number))


def _call(number):
    end = time.perf_counter_ns() + 500_000
    while time.perf_counter_ns() < end:
        MARKED[number]()


def quick(_request):
    return JsonResponse({})
