"""What the root span says: HTTP by OpenTelemetry's stable conventions, and the breakdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.attribution.request import Counts
from tracer.analysis.spans.span_attributes import bucket
from tracer.model.layers import LAYERS
from tracer.model.nametable import NOWHERE, OTHER, Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.spans.span_attributes import Value

Attributes = tuple[tuple[str, "Value"], ...]

_SERVER_ERROR: Final = 500
_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"}
)


class Facts(NamedTuple):
    """What is known of a request beside its marks; `path` only where paths are recorded."""

    method: str
    route: str | None
    path: str | None
    status: int | None
    outcome: str
    error_type: str | None
    interface: str
    server: str
    loop: str | None
    http: str | None
    weight: float | None
    kept: str
    seams_absent: tuple[str, ...] = ()
    endpoint: Endpoint = NOWHERE


def facts_of(request: Request) -> Facts:
    """Return the facts of an attributed request."""
    return Facts(
        request.method,
        request.route,
        None if request.target == request.route else request.target,
        request.status,
        request.outcome,
        request.error_type,
        request.interface,
        request.server,
        request.loop,
        request.http,
        request.weight if request.weight_known else None,
        request.kept,
        request.seams_absent,
        Endpoint(request.scheme, request.server_address, request.server_port, request.http_version),
    )


def counts_of(request: Request) -> Counts:
    """Return the counts of an attributed request, as a summary counts them."""
    return Counts.of(
        request.hops,
        request.threads_started,
        request.threads_started_after_response,
        request.connections_opened,
    )


def root_name(facts: Facts) -> str:
    """Return method and route: few names, whatever is asked for."""
    method = facts.method if facts.method in _METHODS else "HTTP"
    return method if facts.route is None else f"{method} {facts.route}"


def failed(facts: Facts) -> bool:
    """Say whether this is an error of the server's: a 4xx is none."""
    return facts.outcome == "error" or (facts.status or 0) >= _SERVER_ERROR


def _original(method: str) -> str | None:
    return method or None if method != OTHER else None


def fact_attributes(facts: Facts) -> Attributes:
    """Return what follows from the facts alone."""
    known = facts.method in _METHODS
    error = (facts.error_type or str(facts.status or OTHER)) if failed(facts) else None
    found: dict[str, Value | None] = {
        "http.request.method": facts.method if known else OTHER,
        "http.request.method_original": None
        if known or facts.method == OTHER
        else facts.method or None,
        "http.route": facts.route,
        "url.scheme": facts.endpoint.scheme,
        "url.path": facts.path,
        "server.address": facts.endpoint.address,
        "server.port": facts.endpoint.port,
        "network.protocol.version": facts.endpoint.version,
        "http.response.status_code": facts.status,
        "error.type": error,
        "tracer.exception": facts.error_type,
        "tracer.outcome": facts.outcome,
        "tracer.interface": facts.interface,
        "tracer.server": facts.server,
        "tracer.loop": facts.loop,
        "tracer.http": facts.http,
        "tracer.weight": facts.weight,
        "tracer.kept": facts.kept,
        "tracer.seams_absent": facts.seams_absent or None,
    }
    return tuple((name, value) for name, value in found.items() if value is not None)


def count_attributes(counts: Counts) -> Attributes:
    """Return counts, and the ranges that a search by equality needs."""
    return (
        ("tracer.handoffs", counts.handoffs),
        ("tracer.handoffs.bucket", bucket(counts.handoffs)),
        ("tracer.handoffs.to_loop", counts.to_loop),
        ("tracer.handoffs.after_response", counts.handoffs_after),
        ("tracer.threads_started", counts.threads),
        ("tracer.threads_started.after_response", counts.threads_after),
        ("tracer.connections_opened", counts.connections),
    )


LAYER_NAMES: Final = tuple(f"tracer.layer.{layer}.duration_ns" for layer in LAYERS)
UNATTRIBUTED: Final = "tracer.unattributed_ns"
AFTER: Final = "tracer.after_response_ns"
SLOWEST: Final = "tracer.slowest_layer"


def slowest(layers: Sequence[int]) -> str:
    """Return the layer that owns most, the first of several; `layers` in the order of `LAYERS`."""
    return LAYERS[max(range(len(layers)), key=layers.__getitem__)]


def layer_figures(layers: Sequence[int], after_ns: int) -> tuple[tuple[str, int], ...]:
    """Return the breakdown."""
    return (
        *zip(LAYER_NAMES, layers, strict=True),
        (UNATTRIBUTED, layers[LAYERS.index("unattributed")]),
        (AFTER, after_ns),
    )
