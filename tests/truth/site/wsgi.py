"""The WSGI application; the plan is set before Django sees the request."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

from tests.truth.site import parts
from tests.truth.site.cost import set_plan

django_application = get_wsgi_application()
parts.connect()


def application(environ, start_response):
    """Set the plan and hand over."""
    set_plan(environ.get("QUERY_STRING", ""), environ.get("HTTP_TRACEPARENT", ""))
    return django_application(environ, start_response)
