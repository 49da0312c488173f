"""Sync views, of functions and of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from demo_site import database
from demo_site.cost import number, spin
from demo_site.errors import DemoError, HandledError
from demo_site.models import Book

if TYPE_CHECKING:
    from django.http import HttpRequest

MOST_QUERIES = 20_000
KINDS: dict[str, type[Exception]] = {
    "error": DemoError,
    "handled": HandledError,
    "missing": Http404,
    "denied": PermissionDenied,
}


class QueriesView(View):
    """As many queries as the path says (5), then a template rendered after the view.

    Costs one SELECT by primary key and one row of the template each; nothing spins.
    """

    def get(self, request: HttpRequest, n: int = 5) -> TemplateResponse:
        """Query one book after the other."""
        database.ensure()
        keys = (index % database.BOOKS + 1 for index in range(min(n, MOST_QUERIES)))
        books = [Book.objects.get(pk=key) for key in keys]
        return TemplateResponse(request, "demo_site/books.html", {"books": books})


def cpu(request: HttpRequest) -> JsonResponse:
    """Keep the processor busy for `?ms=` (5) milliseconds."""
    ms = number(request, "ms", 5)
    spin(ms)
    return JsonResponse({"spun_ms": ms})


def raises(request: HttpRequest) -> HttpResponse:
    """Spin for `?ms=` (0) milliseconds, then raise.

    `?kind=` says what: `error` (the default, a 500), `handled` (answered by the
    demo's middlewares, where the stack has one with hooks), `missing` (404) or
    `denied` (403).
    """
    spin(number(request, "ms", 0))
    raise KINDS.get(request.GET.get("kind", "error"), DemoError)("raised on purpose")


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    """Count the bytes of a form's files, or of a body of any other kind.

    Costs reading and parsing the body; nothing spins.
    """
    if request.content_type == "multipart/form-data":
        sizes = {file.name: file.size for file in request.FILES.values()}
        return JsonResponse({"files": sizes, "fields": sorted(request.POST)})
    return JsonResponse({"bytes": len(request.body)})


class SlowToClose(HttpResponse):
    """A response that spins for `close_ms` when the server closes it."""

    close_ms = 0.0

    def close(self) -> None:
        """Close, then spin: after the last byte was sent."""
        super().close()
        spin(self.close_ms)


def after(request: HttpRequest) -> SlowToClose:
    """Answer at once and spin for `?ms=` (5) milliseconds after the response."""
    response = SlowToClose("answered")
    response.close_ms = number(request, "ms", 5)
    return response
