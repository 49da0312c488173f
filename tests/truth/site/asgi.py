"""The ASGI application; the plan is set before Django sees the request."""

from __future__ import annotations

from django.core.asgi import get_asgi_application

from tests.truth.site import parts
from tests.truth.site.cost import set_plan

django_application = get_asgi_application()
parts.connect()


async def application(scope, receive, send):
    """Set the plan and hand over."""
    if scope["type"] == "http":
        header = dict(scope["headers"]).get(b"traceparent", b"")
        set_plan(scope["query_string"].decode(), header.decode())
    await django_application(scope, receive, send)
