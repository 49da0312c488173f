"""The options that say when a recording is ended, and the variables that carry them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tracer.commands import BadInputError
from tracer.settings import rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPTIONS: Final = {rotation.SIZE: "--rotate-size", rotation.AGE: "--rotate-age"}
_DECORATORS: Final = (
    click.option(
        "--rotate-size",
        metavar="SIZE",
        help="End the recording when it is as large, as in 500MB, and begin the next.",
    ),
    click.option(
        "--rotate-age",
        metavar="AGE",
        help="End the recording when it is as old, as in 24h, and begin the next.",
    ),
)


def rotation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say when a recording is ended."""
    for decorate in reversed(_DECORATORS):
        command = decorate(command)
    return command


def rotation_variables(
    size: str | None, age: str | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables for an agent from the options' values and this environment's.

    Raises `BadInputError` for the first that can't be used.
    """
    asked = {rotation.SIZE: size, rotation.AGE: age}
    merged = {name: environ.get(name, "") if text is None else text for name, text in asked.items()}
    for variable, text in asked.items():
        if text == "":
            raise BadInputError(f"{_OPTIONS[variable]}: says nothing")
    _, problems = rotation.read_rotation(merged)
    for variable, reason in problems:
        name = variable if asked[variable] is None else _OPTIONS[variable]
        raise BadInputError(f"{name}: {reason}")
    return {name: text for name, text in merged.items() if text}
