"""Views that run in a thread: functions, classes, Django REST framework, streams, errors."""

from __future__ import annotations

import gc
import os
import time

from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views import View
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from tests.truth.site.cost import NOTES, note, now, spend
from tests.truth.site.middleware import HandledError
from tests.truth.site.parts import Closing, Rendered, use_all


def notes(_request):
    """Tell everything that was noted so far."""
    return JsonResponse({"notes": NOTES})


def function(_request):
    spend("function")
    use_all()
    return Closing("function")


class Class(View):
    def get(self, _request):
        spend("class")
        return HttpResponse("class")


def template(_request):
    spend("template.view")
    return Rendered(_request, "truth.html", {})


class Authentication(BaseAuthentication):
    def authenticate(self, _request):
        spend("authentication")


class Permission(BasePermission):
    def has_permission(self, _request, _view):
        spend("permission")
        return True


class Throttle(BaseThrottle):
    def allow_request(self, _request, _view):
        spend("throttle")
        return True


class Renderer(BaseRenderer):
    media_type = "text/plain"
    format = "txt"

    def render(self, data, *_args, **_kwargs):
        spend("render")
        return data


class Rest(APIView):
    authentication_classes = (Authentication,)
    permission_classes = (Permission,)
    throttle_classes = (Throttle,)
    renderer_classes = (Renderer,)

    def get(self, _request):
        spend("handler")
        return Response(b"rest")


def stream(_request):
    def chunks():
        for _ in range(3):
            spend("stream")
            yield b"x" * 100

    return StreamingHttpResponse(chunks())


def bulk(_request):
    """Stream what no compression makes smaller."""
    data = os.urandom(1_000_000)

    def chunks():
        for _ in range(3):
            spend("bulk")
            yield data

    return StreamingHttpResponse(chunks())


def collect(_request):
    """Let the garbage collector have work, and note what it took."""
    heap = [[] for _ in range(200_000)]
    for entry in heap:
        entry.append(entry)
    del heap, entry
    start = now()
    gc.collect()
    note("collect", start)
    return HttpResponse("collected")


def upload(request):
    start = now()
    size = len(request.POST.get("data", ""))
    note("post", start)
    return JsonResponse({"size": size})


def handled(_request):
    spend("handled")
    raise HandledError


def unhandled(_request):
    spend("unhandled")
    raise ZeroDivisionError


def missing(_request):
    spend("missing")
    raise Http404


def empty(_request):
    spend("empty")
    return HttpResponse(status=204)


def endless(_request):
    """Stream until nobody listens any more."""

    def chunks():
        for _ in range(400):
            time.sleep(0.005)
            yield b"x" * 50_000

    return StreamingHttpResponse(chunks())
