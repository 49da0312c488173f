"""The site under ASGI, counted."""

from __future__ import annotations

import os

from tests.live_spans.site import telemetry

telemetry.install()

from django.core.asgi import get_asgi_application  # noqa: E402 - telemetry comes first

from tests.observer.site import counting  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.live_spans.site.settings")
site = get_asgi_application()


async def application(scope, receive, send):
    """Tell what was counted, or answer."""
    if scope["type"] != "http" or scope["path"] != "/_counted":
        await site(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": counting.told()})
