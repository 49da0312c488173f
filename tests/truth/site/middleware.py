"""Middlewares of every style; each spends `Name.phase`, or `Name.before` and `Name.after`."""

from __future__ import annotations

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpResponse
from django.utils.decorators import (
    async_only_middleware,
    sync_and_async_middleware,
    sync_only_middleware,
)
from django.utils.deprecation import MiddlewareMixin

from tests.truth.site.cost import spend


class HandledError(Exception):
    """Answered by a middleware's `process_exception`."""


def _answer(name, error):
    spend(f"{name}.process_exception")
    return HttpResponse("handled") if isinstance(error, HandledError) else None


class Hooks:
    def process_view(self, _request, *_args):
        spend(f"{type(self).__name__}.process_view")

    def process_template_response(self, _request, response):
        spend(f"{type(self).__name__}.process_template_response")
        return response

    def process_exception(self, _request, error):
        return _answer(type(self).__name__, error)


class SyncClass(Hooks):
    """Sync only, as a class."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        spend("SyncClass.before")
        response = self.get_response(request)
        spend("SyncClass.after")
        return response


class Mixin(Hooks, MiddlewareMixin):
    """In the way of Django's own."""

    def process_request(self, _request):
        spend("Mixin.process_request")

    def process_response(self, _request, response):
        spend("Mixin.process_response")
        return response


class AsyncClass:
    """Async only, with async hooks."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        spend("AsyncClass.before")
        response = await self.get_response(request)
        spend("AsyncClass.after")
        return response

    async def process_view(self, _request, *_args):
        spend("AsyncClass.process_view")

    async def process_template_response(self, _request, response):
        spend("AsyncClass.process_template_response")
        return response

    async def process_exception(self, _request, error):
        return _answer("AsyncClass", error)


class BothClass:
    """Whichever way the rest of the chain is, as a class."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request):
        if self.is_async:
            return self.answer(request)
        spend("BothClass.before")
        response = self.get_response(request)
        spend("BothClass.after")
        return response

    async def answer(self, request):
        spend("BothClass.before")
        response = await self.get_response(request)
        spend("BothClass.after")
        return response


@sync_only_middleware
def sync_function(get_response):
    def middleware(request):
        spend("sync_function.before")
        response = get_response(request)
        spend("sync_function.after")
        return response

    return middleware


@async_only_middleware
def async_function(get_response):
    async def middleware(request):
        spend("async_function.before")
        response = await get_response(request)
        spend("async_function.after")
        return response

    return middleware


@sync_and_async_middleware
def both_function(get_response):
    if iscoroutinefunction(get_response):

        async def middleware(request):
            spend("both_function.before")
            response = await get_response(request)
            spend("both_function.after")
            return response

    else:

        def middleware(request):
            spend("both_function.before")
            response = get_response(request)
            spend("both_function.after")
            return response

    return middleware


class StreamWrapper(MiddlewareMixin):
    """Wraps a stream as GZip does, and spends at each chunk."""

    def process_response(self, _request, response):
        if response.streaming:
            wrap = self.wrap_async if response.is_async else self.wrap
            response.streaming_content = wrap(response.streaming_content)
        return response

    def wrap(self, chunks):
        for chunk in chunks:
            spend("StreamWrapper.stream")
            yield chunk

    async def wrap_async(self, chunks):
        async for chunk in chunks:
            spend("StreamWrapper.stream")
            yield chunk
