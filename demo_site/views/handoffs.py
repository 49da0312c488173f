"""Async views that hand work to threads, and threads that hand work back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asgiref.sync import async_to_sync, sync_to_async
from django.http import JsonResponse

from demo_site.cost import count, number, sleep, spin

if TYPE_CHECKING:
    from django.http import HttpRequest


async def _fill(request: HttpRequest, *, thread_sensitive: bool) -> JsonResponse:
    tasks, ms = count(request, "count", 8), number(request, "ms", 5)
    work = sync_to_async(sleep, thread_sensitive=thread_sensitive)
    await asyncio.gather(*(work(ms) for _ in range(tasks)))
    return JsonResponse({"tasks": tasks, "ms": ms})


async def pool_sensitive(request: HttpRequest) -> JsonResponse:
    """Give the request's own thread `?count=` (8) sleeps of `?ms=` (5) milliseconds at once.

    They run one after the other: `count` times `ms`.
    """
    return await _fill(request, thread_sensitive=True)


async def pool_free(request: HttpRequest) -> JsonResponse:
    """Give the loop's default pool `?count=` (8) sleeps of `?ms=` (5) milliseconds at once.

    They run as many at a time as the pool has threads, and all requests share it.
    """
    return await _fill(request, thread_sensitive=False)


async def gather(request: HttpRequest) -> JsonResponse:
    """Await two hand-offs at once, each spinning for `?ms=` (2) milliseconds in the pool."""
    ms = number(request, "ms", 2)
    work = sync_to_async(spin, thread_sensitive=False)
    await asyncio.gather(work(ms), work(ms))
    return JsonResponse({"spun_ms": [ms, ms]})


async def nested(request: HttpRequest) -> JsonResponse:
    """Go to a thread, and from there back to the loop, `?depth=` (1) times deep.

    Spins for `?ms=` (1) milliseconds in each thread and waits for a timer of as
    long on the loop, innermost.
    """
    depth, ms = count(request, "depth", 1, most=10), number(request, "ms", 1)

    def in_thread(left: int) -> None:
        spin(ms)
        async_to_sync(on_loop)(left - 1)

    async def on_loop(left: int) -> None:
        if left:
            await sync_to_async(in_thread, thread_sensitive=True)(left)
        else:
            await asyncio.sleep(ms / 1000)

    await on_loop(depth)
    return JsonResponse({"depth": depth, "ms": ms})
