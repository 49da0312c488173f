"""Which metrics are exported, and how often, by OpenTelemetry's own variables.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracer.settings import otlp as exporting
from tracer.settings.otlp import ENDPOINT, OTLP, entry_of, is_disabled, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.settings.sampling import Problem

METRICS_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_EXPORTERS: Final = "OTEL_METRICS_EXPORTER"
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXEMPLARS: Final = "OTEL_METRICS_EXEMPLAR_FILTER"
_MILLIS: Final = 1_000


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """Exporters by the names of their entry points, and how often they are handed figures."""

    exporters: tuple[str, ...]
    interval_s: float = 60.0
    timeout_s: float = 30.0
    exemplars: bool = True


def read_metrics(environ: Mapping[str, str]) -> tuple[MetricSettings | None, list[Problem]]:
    """Return what an environment asks for, None for nothing, and what of it can't be used."""
    problems: list[Problem] = []
    found = [
        entry
        for name in _names(environ)
        if (entry := entry_of(name, environ, problems, _PROTOCOLS)) is not None
    ]
    if not found:
        return None, problems
    interval = whole(environ, "OTEL_METRIC_EXPORT_INTERVAL", 60_000, problems)
    timeout = whole(environ, "OTEL_METRIC_EXPORT_TIMEOUT", 30_000, problems)
    exemplars = environ.get(_EXEMPLARS, "").strip() != "always_off"
    return (
        MetricSettings(tuple(found), interval / _MILLIS, timeout / _MILLIS, exemplars),
        problems,
    )


def _names(environ: Mapping[str, str]) -> list[str]:
    if is_disabled(environ):
        return []
    asked = environ.get(_EXPORTERS, "")
    if not asked.strip():
        found = any(environ.get(name) for name in (OTLP, ENDPOINT, METRICS_ENDPOINT))
        return ["otlp"] if found else []
    return [name for one in asked.split(",") if (name := one.strip()) not in {"", "none"}]


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make an agent export what this environment asks for, if any."""
    spans = exporting.passed_on(environ)
    return spans or ({exporting.ENABLED: "1"} if _names(environ) else {})
