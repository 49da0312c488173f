"""Views and a middleware that ask a database, log, and say what is current."""

from __future__ import annotations

import logging

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.http import JsonResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import path
from django.utils.deprecation import MiddlewareMixin
from opentelemetry import trace

tracer = trace.get_tracer("site")
logger = logging.getLogger("site")


def ask(where):
    """Query, log, and return what the plain API says is current."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT '{where}'")
        cursor.fetchall()
    logger.warning(where)
    current = trace.get_current_span().get_span_context()
    return {where: [f"{current.trace_id:032x}", f"{current.span_id:016x}"]}


async def ask_on_the_loop(where):
    """The same, asked from a loop."""
    logger.warning("%s, loop", where)
    return await sync_to_async(ask)(where)


class Asking(MiddlewareMixin):
    """Asks before the view of these pages, and after it."""

    def process_request(self, request):
        request.told = ask("process_request") if request.path.startswith("/rows/") else {}

    def process_response(self, request, response):
        if request.told:
            ask("process_response")
        return response


def sync_view(request):
    told = ask("view")
    with tracer.start_as_current_span("mine"):
        told |= ask("in a span")
    return JsonResponse(request.told | told)


async def async_view(request):
    told = await ask_on_the_loop("view")
    with tracer.start_as_current_span("mine"):
        told |= await sync_to_async(ask)("in a span")
    told |= await sync_to_async(ask, thread_sensitive=False)("free thread")
    return JsonResponse(request.told | told)


def nested_view(request):
    return JsonResponse(request.told | async_to_sync(ask_on_the_loop)("view"))


@transaction.atomic
def atomic_view(request):
    return JsonResponse(request.told | ask("view"))


class Lazy(SimpleTemplateResponse):
    """Asks while it is rendered: the view has returned."""

    @property
    def rendered_content(self):
        ask("render")
        return "{}"


def rendered_view(request):
    return Lazy("none")


def streamed_view(request):
    def chunks():
        ask("stream")
        yield "{}"

    return StreamingHttpResponse(chunks())


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("nested/", nested_view),
    path("atomic/", atomic_view),
    path("rendered/", rendered_view),
    path("streamed/", streamed_view),
]
