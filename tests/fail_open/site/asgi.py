"""The demo under ASGI, with a tracer that can be broken."""

from __future__ import annotations

from demo_site.asgi import application as demo
from tests.fail_open.site import faults

faults.install()


async def application(scope, receive, send):
    """Break or answer."""
    told = faults.answer(scope["path"]) if scope["type"] == "http" else None
    if told is None:
        await demo(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told})
