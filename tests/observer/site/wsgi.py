"""The demo under WSGI, counted."""

from __future__ import annotations

from demo_site.wsgi import application as demo
from tests.observer.site import counting


def application(environ, start_response):
    """Tell what was counted, or answer."""
    if environ["PATH_INFO"] != "/_counted":
        return demo(environ, start_response)
    told = counting.told()
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]
