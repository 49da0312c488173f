"""Views and a middleware with spans of their own."""

from __future__ import annotations

from asgiref.sync import async_to_sync, sync_to_async
from django.http import JsonResponse
from django.urls import include, path
from django.utils.deprecation import MiddlewareMixin
from opentelemetry import baggage, propagate, trace

tracer = trace.get_tracer("site")


class Spanning(MiddlewareMixin):
    """A span in each of its methods."""

    def process_request(self, request):
        with tracer.start_as_current_span("in process_request"):
            pass

    def process_response(self, request, response):
        with tracer.start_as_current_span("in process_response"):
            return response


def told():
    """What a call to another service would carry on."""
    carrier = {}
    propagate.inject(carrier)
    return {"carried": carrier, "baggage": dict(baggage.get_all())}


def work():
    """Runs in another thread."""
    with tracer.start_as_current_span("in sync_to_async"):
        return told()


async def back():
    """Runs on a loop again."""
    with tracer.start_as_current_span("in async_to_sync"):
        pass


def sync_view(request):
    """Two spans, one in the other."""
    with tracer.start_as_current_span("in sync view"), tracer.start_as_current_span("within"):
        pass
    return JsonResponse(told())


async def async_view(request):
    """A span, and one across a hand-off."""
    with tracer.start_as_current_span("in async view"):
        pass
    return JsonResponse(await sync_to_async(work)())


def nested_view(request):
    """A span on the loop, from a thread."""
    async_to_sync(back)()
    return JsonResponse(told())


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("nested/", nested_view),
    path("rows/", include("tests.live_spans.site.rows")),
]
