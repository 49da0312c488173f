"""Middlewares of every style: sync only, async only, both; functions and classes; all hooks.

Each hook spins for the query parameter of its own name, in milliseconds: with
`?process_view=5` every `process_view` here takes 5 ms. `process_request` and
`process_response` stand for what a function or `__call__` does before and after
the rest of the chain. Without parameters they cost nothing. `process_exception`
answers a `HandledError` with status 200 and leaves all else alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import (
    async_only_middleware,
    sync_and_async_middleware,
    sync_only_middleware,
)
from django.utils.deprecation import MiddlewareMixin

from demo_site.cost import spin_as_asked
from demo_site.errors import HandledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http.response import HttpResponseBase
    from django.template.response import TemplateResponse

    Sync = Callable[[HttpRequest], HttpResponseBase]
    Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def _answer(error: Exception) -> HttpResponse | None:
    return HttpResponse("handled") if isinstance(error, HandledError) else None


@sync_only_middleware
def sync_function(get_response: Sync) -> Sync:
    """Sync only, as a function."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        spin_as_asked(request, "process_request")
        response = get_response(request)
        spin_as_asked(request, "process_response")
        return response

    return middleware


@async_only_middleware
def async_function(get_response: Async) -> Async:
    """Async only, as a function."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        spin_as_asked(request, "process_request")
        response = await get_response(request)
        spin_as_asked(request, "process_response")
        return response

    return middleware


@sync_and_async_middleware
def both_function(get_response: Any) -> Sync | Async:
    """Both, as a function: whichever way the rest of the chain is."""
    if iscoroutinefunction(get_response):
        return async_function(get_response)
    return sync_function(get_response)


class _SyncHooks:
    def process_view(self, request: HttpRequest, *_view: object) -> None:
        spin_as_asked(request, "process_view")

    def process_template_response(
        self, request: HttpRequest, response: TemplateResponse
    ) -> TemplateResponse:
        spin_as_asked(request, "process_template_response")
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        spin_as_asked(request, "process_exception")
        return _answer(error)


class SyncClass(_SyncHooks):
    """Sync only, as a class of its own."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Sync) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        spin_as_asked(request, "process_request")
        response = self.get_response(request)
        spin_as_asked(request, "process_response")
        return response


class AsyncClass:
    """Async only, as a class of its own, with async hooks."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Async) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        spin_as_asked(request, "process_request")
        response = await self.get_response(request)
        spin_as_asked(request, "process_response")
        return response

    async def process_view(self, request: HttpRequest, *_view: object) -> None:
        """Spin as asked."""
        spin_as_asked(request, "process_view")

    async def process_template_response(
        self, request: HttpRequest, response: TemplateResponse
    ) -> TemplateResponse:
        """Spin as asked."""
        spin_as_asked(request, "process_template_response")
        return response

    async def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> HttpResponse | None:
        """Spin as asked and answer what may be answered."""
        spin_as_asked(request, "process_exception")
        return _answer(error)


class MixinClass(_SyncHooks, MiddlewareMixin):
    """Both, in the way of Django's own: its hooks are handed to a thread one by one."""

    def process_request(self, request: HttpRequest) -> None:
        """Spin as asked."""
        spin_as_asked(request, "process_request")

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Spin as asked."""
        spin_as_asked(request, "process_response")
        return response
