"""The SDK's limits on spans, applied to ours: `OTEL_SPAN_…_LIMIT`, `OTEL_ATTRIBUTE_…_LIMIT`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import SpanLimits

if TYPE_CHECKING:
    from tracer.analysis.spans.span_attributes import Value
    from tracer.analysis.spans.spans import Span


_EVER: Final = 64
"""No span of ours has so many attributes or events."""


class Limits:
    """Cuts what is too long or too much; by default next to nothing of ours is."""

    def __init__(self, limits: SpanLimits | None = None) -> None:
        """Take the SDK's, which reads the environment."""
        known = limits or SpanLimits()
        self.attributes: int | None = known.max_span_attributes
        self.events: int | None = known.max_events
        self.length: int | None = known.max_span_attribute_length
        self.any = self.length is not None or _is_less(self.attributes) or _is_less(self.events)
        """Whether anything of what we ever say is cut."""
        self._said: dict[tuple[tuple[str, Value], ...], tuple[tuple[str, Value], ...]] = {}

    def apply(self, span: Span) -> Span:
        """Return the span as its limits leave it; figures go before words."""
        most = self.attributes
        few = most is None or len(span.said) + len(span.figures) <= most
        few = few and (self.events is None or len(span.events) <= self.events)
        if few and self.length is None:
            return span
        said = span.said if self.length is None else self._shortened(span.said)
        return replace(
            span,
            said=said[:most],
            figures=span.figures[: None if most is None else max(most - len(said), 0)],
            events=span.events[: self.events],
        )

    def _shortened(self, said: tuple[tuple[str, Value], ...]) -> tuple[tuple[str, Value], ...]:
        found = self._said.get(said)
        if found is None:
            found = self._said[said] = tuple((name, self._short(value)) for name, value in said)
        return found

    def _short(self, value: Value) -> Value:
        if isinstance(value, str):
            return value[: self.length]
        if isinstance(value, tuple):
            return tuple(one[: self.length] for one in value)
        return value


def _is_less(limit: int | None) -> bool:
    return limit is not None and limit < _EVER
