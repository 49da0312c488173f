"""Who the spans come from: a resource for each worker, and this library as their scope."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from opentelemetry.sdk.resources import PROCESS_PID, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope


@cache
def resource_of(pid: int) -> Resource:
    """Return a worker's resource; the SDK reads `OTEL_SERVICE_NAME` and its like."""
    return Resource.create({PROCESS_PID: pid})


@cache
def scope() -> InstrumentationScope:
    """Return what all spans say made them."""
    try:
        ours = version("django-layer-tracer")
    except PackageNotFoundError:
        ours = ""
    return InstrumentationScope("tracer", ours)
