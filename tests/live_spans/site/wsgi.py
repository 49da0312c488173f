"""The site under WSGI, counted."""

from __future__ import annotations

import os

from tests.live_spans.site import telemetry

telemetry.install()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - telemetry comes first

from tests.observer.site import counting  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.live_spans.site.settings")
site = get_wsgi_application()


def application(environ, start_response):
    """Tell what was counted, or answer."""
    if environ["PATH_INFO"] != "/_counted":
        return site(environ, start_response)
    told = counting.told()
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]
