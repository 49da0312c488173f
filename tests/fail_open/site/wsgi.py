"""The demo under WSGI, with a tracer that can be broken."""

from __future__ import annotations

from demo_site.wsgi import application as demo
from tests.fail_open.site import faults

faults.install()


def application(environ, start_response):
    """Break or answer."""
    told = faults.answer(environ["PATH_INFO"])
    if told is None:
        return demo(environ, start_response)
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]
