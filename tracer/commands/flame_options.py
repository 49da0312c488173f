"""The options that say of which requests stacks are taken, and the variables that carry them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tracer.commands import BadInputError
from tracer.settings import flame as flame_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_OPTIONS: Final = {
    flame_policy.FLAME: "--flame",
    flame_policy.SOURCE: "--flame-source",
    flame_policy.INTERVAL: "--flame-interval",
    flame_policy.BUDGET: "--flame-budget",
}
_DECORATORS: Final = (
    click.option(
        "--flame",
        metavar="WHEN",
        help="Take the Python stacks of requests, for `tracer flame`: all, 1/N, slower=500ms (the "
        "next one of a route that was slow), or header (X-Tracer-Flame with TRACER_FLAME_SECRET).",
    ),
    click.option(
        "--flame-source",
        metavar="SOURCE",
        help="sampled (by pyinstrument) or exact.  [default: sampled where it is installed]",
    ),
    click.option(
        "--flame-interval",
        metavar="DURATION",
        help="Between two samples of a thread.  [default: 500us]",
    ),
    click.option(
        "--flame-budget",
        metavar="BUDGET",
        help="How long a process may be armed, as 5% of the time or as 60s in all.  "
        "[default: 10%, with --flame all 100%]",
    ),
)


def stacks_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how stacks are taken, where it knows when."""
    return _given_to(command, _DECORATORS[1:3])


def flame_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say of which requests stacks are taken."""
    return _given_to(command, _DECORATORS)


def _given_to(command: Callable[..., Any], decorators: Sequence[Any]) -> Callable[..., Any]:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def flame_variables(given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a server from the options' values and this environment's.

    Raises `BadInputError` for the first that can't be used.
    """
    asked: dict[str, str] = {}
    for variable, option in _OPTIONS.items():
        value = given.get(option.removeprefix("--").replace("-", "_"))
        if value == "":
            raise BadInputError(f"{option}: says nothing")
        if value is not None:
            asked[variable] = value
    merged = {**environ, **asked}
    if asked and not merged.get(flame_policy.FLAME):
        raise BadInputError(f"{_OPTIONS[next(iter(asked))]}: says how, but no --flame says when")
    _, problems = flame_policy.read_flame_policy(merged)
    for variable, reason in problems:
        name = _OPTIONS[variable] if variable in asked else variable
        raise BadInputError(f"{name}: {reason}")
    return {name: merged[name] for name in flame_policy.VARIABLES if merged.get(name)}
