"""Responses of all kinds: whole, streamed, with a `Server-Timing` of their own, refused."""

from __future__ import annotations

import asyncio
import time

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path


def plain(_request):
    """Spend a moment, in the view."""
    time.sleep(0.002)
    return HttpResponse("plain", headers={"X-Own": "1"})


async def waiting(_request):
    """Wait, and hand something off."""
    await asyncio.sleep(0.002)
    await sync_to_async(time.sleep)(0.001)
    return HttpResponse("waited")


def told(_request):
    """Have times of its own."""
    return HttpResponse("told", headers={"Server-Timing": "cache;dur=1.5"})


def streamed(request):
    """Give chunks by the iterator that the interface is made for."""

    def chunks():
        for number in range(3):
            time.sleep(0.002)
            yield f"{number}\n"

    async def async_chunks():
        for one in chunks():
            yield one

    whole = async_chunks() if isinstance(request, ASGIRequest) else chunks()
    return StreamingHttpResponse(whole)


def raises(_request):
    """Fail."""
    raise RuntimeError


urlpatterns = [
    path("plain/", plain),
    path("waiting/", waiting),
    path("told/", told),
    path("streamed/", streamed),
    path("raises/", raises),
]
