"""Sentry's SDK with tracing of all requests, middlewares and signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.peers import sink

if TYPE_CHECKING:
    from collections.abc import Callable

TITLE = "Sentry"
DISTRIBUTION = "sentry-sdk"
REQUIREMENTS = ("sentry-sdk",)


def start() -> None:
    """Set it up as its documentation does, in the settings."""
    import sentry_sdk
    from sentry_sdk.integrations.django import DjangoIntegration

    sentry_sdk.init(
        dsn=f"{sink().replace('://', '://key@')}/1",
        traces_sample_rate=1.0,
        integrations=[DjangoIntegration(middleware_spans=True, signals_spans=True)],
    )


def watch() -> Callable[[], int]:
    """Count the transactions that are sent and the spans in them."""
    import sentry_sdk

    transport = sentry_sdk.get_client().transport
    original = transport.capture_envelope
    sizes: list[int] = []

    def capture(envelope: Any) -> Any:
        transaction = envelope.get_transaction_event()
        if transaction is not None:
            sizes.append(1 + len(transaction.get("spans", ())))
        return original(envelope)

    transport.capture_envelope = capture
    return lambda: sum(sizes)
