"""Elastic APM's agent, as an application of Django's with its middleware first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.peers import sink

if TYPE_CHECKING:
    from collections.abc import Callable

TITLE = "Elastic APM"
DISTRIBUTION = "elastic-apm"
REQUIREMENTS = ("elastic-apm",)


def start() -> None:
    """Put it into the settings."""
    from demo_site import settings

    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "elasticapm.contrib.django"]
    settings.MIDDLEWARE = [
        "elasticapm.contrib.django.middleware.TracingMiddleware",
        *settings.MIDDLEWARE,
    ]
    settings.ELASTIC_APM = {"SERVICE_NAME": "demo", "SERVER_URL": sink()}


def watch() -> Callable[[], int]:
    """Count the transactions and spans that are queued for sending."""
    import elasticapm

    transport = elasticapm.get_client()._transport  # noqa: SLF001 - the only place all pass
    original = transport.queue
    queued: list[str] = []

    def queue(event_type: str, *arguments: Any, **options: Any) -> Any:
        if event_type in ("transaction", "span"):
            queued.append(event_type)
        return original(event_type, *arguments, **options)

    transport.queue = queue
    return lambda: len(queued)
