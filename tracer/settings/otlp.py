"""What is exported, and how: `TRACER_OTLP` and OpenTelemetry's own variables.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
What the SDK reads by itself (endpoints, headers, TLS, compression, resource, limits) isn't here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tracer.analysis.spans.span_levels import DEFAULT, LEVELS, Level
from tracer.settings.sampling import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

OTLP: Final = "TRACER_OTLP"
DETAIL: Final = "TRACER_SPANS"
ENABLED: Final = "TRACER_EXPORT"
"""Tells an agent that whoever started it wants spans exported, and its servers that they are."""

CONSOLE: Final = "TRACER_CONSOLE"
"""The file that an exporting process prints to."""

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_EXPORTERS: Final = "OTEL_TRACES_EXPORTER"
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_DISABLED: Final = "OTEL_SDK_DISABLED"
_KNOWN: Final = {
    "http/protobuf": ("otlp_proto_http", "opentelemetry.exporter.otlp.proto.http", "otlp"),
    "grpc": ("otlp_proto_grpc", "opentelemetry.exporter.otlp.proto.grpc", "otlp-grpc"),
}
_MILLIS: Final = 1_000
QUEUE, BATCH = 8_192, 2_048
"""In spans, four times what the SDK has: a request here is sixty of them, not one or two."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Exporters by the names of their entry points, the level of detail, and how to batch.

    `queue` and `batch` are numbers of spans.
    """

    exporters: tuple[str, ...]
    detail: Level = DEFAULT
    delay_s: float = 5.0
    timeout_s: float = 30.0
    queue: int = QUEUE
    batch: int = BATCH


def read_settings(environ: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    """Return what an environment asks for, None for nothing, and what of it can't be used."""
    problems: list[Problem] = []
    names = _names(environ)
    if not names:
        return None, problems
    found = [one for name in names if (one := entry_of(name, environ, problems)) is not None]
    detail: Level = DEFAULT
    asked = environ.get(DETAIL)
    if asked:
        known: list[Level] = [level for level in LEVELS if level == asked]
        if known:
            detail = known[0]
        else:
            problems.append(Problem(DETAIL, f"{asked!r} is none of {', '.join(LEVELS)}"))
    if environ.get(OTLP):
        _check_endpoint(environ[OTLP], problems)
    batching = [
        whole(environ, f"OTEL_BSP_{name}", default, problems)
        for name, default in (
            ("SCHEDULE_DELAY", 5_000),
            ("EXPORT_TIMEOUT", 30_000),
            ("MAX_QUEUE_SIZE", QUEUE),
            ("MAX_EXPORT_BATCH_SIZE", BATCH),
        )
    ]
    delay, timeout, queue, batch = batching
    made = Settings(
        tuple(found), detail, delay / _MILLIS, timeout / _MILLIS, queue, min(batch, queue)
    )
    return made if found else None, problems


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make an agent export what this environment asks for, if any."""
    asked = {name: environ[name] for name in (OTLP, DETAIL) if environ.get(name)}
    return {**asked, ENABLED: "1"} if read_settings(environ)[0] is not None else {}


def is_exported(environ: Mapping[str, str]) -> bool:
    """Say whether what this process records is exported: whoever started it says, or its own."""
    enabled = environ.get(ENABLED)
    return enabled == "1" if enabled else read_settings(environ)[0] is not None


def aim(environ: MutableMapping[str, str]) -> None:
    """Have the SDK's exporters send to `TRACER_OTLP`, if that is set."""
    if environ.get(OTLP):
        environ.pop(TRACES_ENDPOINT, None)
        environ[ENDPOINT] = environ[OTLP]


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Say whether OpenTelemetry is switched off as a whole."""
    return environ.get(_DISABLED, "").strip().lower() == "true"


def _names(environ: Mapping[str, str]) -> list[str]:
    if is_disabled(environ):
        return []
    if environ.get(OTLP):
        return ["otlp"]
    asked = environ.get(_EXPORTERS, "")
    if not asked.strip():
        return ["otlp"] if environ.get(ENDPOINT) or environ.get(TRACES_ENDPOINT) else []
    names = [name.strip() for name in asked.split(",") if name.strip()]
    return [] if names == ["none"] else names


def entry_of(
    name: str,
    environ: Mapping[str, str],
    problems: list[Problem],
    protocols: tuple[str, str] = _PROTOCOLS,
) -> str | None:
    """Return the name of an exporter's entry point; `protocols` are the variables that say how."""
    if name != "otlp":
        return name
    variable = next((one for one in protocols if environ.get(one)), protocols[1])
    protocol = environ.get(variable) or "http/protobuf"
    if protocol not in _KNOWN:
        problems.append(Problem(variable, f"{protocol!r} is none of {', '.join(_KNOWN)}"))
        return None
    entry, module, extra = _KNOWN[protocol]
    if not _is_installed(module):
        needs = f"django-layer-tracer[{extra}]"
        variable = OTLP if environ.get(OTLP) else _EXPORTERS
        problems.append(Problem(variable, f"no exporter: pip install '{needs}'"))
        return None
    return entry


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _check_endpoint(endpoint: str, problems: list[Problem]) -> None:
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        problems.append(Problem(OTLP, f"{endpoint!r} is no URL such as http://127.0.0.1:4318"))


def whole(environ: Mapping[str, str], variable: str, default: int, problems: list[Problem]) -> int:
    """Return a variable's whole number above 0, or the default."""
    text = environ.get(variable, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        problems.append(Problem(variable, f"{text!r} is no whole number above 0"))
        return default
    return int(text)
