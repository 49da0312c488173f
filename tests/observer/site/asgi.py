"""The demo under ASGI, counted."""

from __future__ import annotations

from demo_site.asgi import application as demo
from tests.observer.site import counting


async def application(scope, receive, send):
    """Tell what was counted, or answer."""
    if scope["type"] != "http" or scope["path"] != "/_counted":
        await demo(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": counting.told()})
