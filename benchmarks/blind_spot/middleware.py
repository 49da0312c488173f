"""cProfile around the view, the way `django-cprofile-middleware` does it."""

from __future__ import annotations

import cProfile
import pstats
from typing import TYPE_CHECKING, Any

from django.utils.deprecation import MiddlewareMixin

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class ProfilerMiddleware(MiddlewareMixin):
    """Runs the view under cProfile and puts the profile's total into a header."""

    def process_view(
        self, request: HttpRequest, callback: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse:
        """Call the view here, profiled."""
        profiler = cProfile.Profile()
        response: HttpResponse = profiler.runcall(callback, request, *args, **kwargs)
        total_s: float = pstats.Stats(profiler).total_tt  # type: ignore[attr-defined]
        response["X-cProfile-Total-ns"] = str(round(total_s * 1e9))
        return response
