"""Streaming bodies: `?chunks=` (4) chunks, each costing `?ms=` (1) of spinning before it is sent.

`?sleep=` (0) milliseconds are waited before each chunk as well: by the thread in
the sync one, by a timer in the async one. `?bytes=` (1000) is a chunk's size.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.http import StreamingHttpResponse

from demo_site.cost import count, number, sleep, spin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest

MOST_BYTES = 10_000_000
MOST_CHUNKS = 100_000


def _plan(request: HttpRequest) -> tuple[int, bytes, float, float]:
    chunk = b"." * count(request, "bytes", 1000, MOST_BYTES)
    chunks = count(request, "chunks", 4, MOST_CHUNKS)
    return chunks, chunk, number(request, "ms", 1), number(request, "sleep", 0)


def sync(request: HttpRequest) -> StreamingHttpResponse:
    """Stream from a generator. Under ASGI Django reads all of it before the first chunk goes."""
    chunks, chunk, spin_ms, sleep_ms = _plan(request)

    def body() -> Iterator[bytes]:
        for _ in range(chunks):
            sleep(sleep_ms)
            spin(spin_ms)
            yield chunk

    return StreamingHttpResponse(body())


async def aio(request: HttpRequest) -> StreamingHttpResponse:
    """Stream from an async generator. Under WSGI Django reads all of it before the first goes."""
    chunks, chunk, spin_ms, sleep_ms = _plan(request)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            await asyncio.sleep(sleep_ms / 1000)
            spin(spin_ms)
            yield chunk

    return StreamingHttpResponse(body())
