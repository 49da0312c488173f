"""The options that have spans exported, and the variables that carry them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tracer.commands import BadInputError
from tracer.settings import metrics as metering
from tracer.settings import otlp as exporting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPTIONS: Final = {exporting.OTLP: "--otlp", exporting.DETAIL: "--span-detail"}
_DECORATORS: Final = (
    click.option(
        "--otlp",
        metavar="ENDPOINT",
        help="Send spans and metrics by OTLP, as to http://127.0.0.1:4318; OTEL_* variables apply.",
    ),
    click.option(
        "--span-detail",
        metavar="LEVEL",
        help="What gets a span: layers, handoffs (default), or all.",
    ),
)


def export_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that have spans exported."""
    for decorate in reversed(_DECORATORS):
        command = decorate(command)
    return command


def export_variables(
    otlp: str | None, detail: str | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables for an agent from the options' values and this environment's.

    Raises `BadInputError` for the first of ours that can't be used; of OpenTelemetry's, which
    may be meant for the application, it is said. None where nothing is exported.
    """
    asked = {exporting.OTLP: otlp, exporting.DETAIL: detail}
    for variable, text in asked.items():
        if text == "":
            raise BadInputError(f"{_OPTIONS[variable]}: says nothing")
    merged = {**environ, **{name: text for name, text in asked.items() if text is not None}}
    spans, problems = exporting.read_settings(merged)
    metrics, more = metering.read_metrics(merged)
    for variable, reason in dict.fromkeys((*problems, *more)):
        if variable not in asked:
            click.echo(f"tracer: {variable}: {reason}", err=True)
            continue
        name = _OPTIONS[variable] if asked[variable] is not None else variable
        raise BadInputError(f"{name}: {reason}")
    return metering.passed_on(merged) if spans is not None or metrics is not None else {}
