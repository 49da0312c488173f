"""The options that say which requests are recorded, and the variables that carry them on."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import click

from tracer.commands import BadInputError
from tracer.settings import sampling as policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPTIONS: Final = {
    policy.SAMPLE: "--sample",
    policy.PATHS: "--sample-path",
    policy.ROUTES: "--sample-route",
    policy.LIMIT: "--remote-limit",
    policy.TRUST: "--trust-remote",
    policy.SLOWER: "--keep-slower-than",
    policy.ERRORS: "--keep-errors",
    policy.TIMING: "--server-timing",
}
_DECORATORS: Final = (
    click.option(
        "--sample",
        metavar="RATE",
        help="The share of requests to record, 0 to 1.  "
        "[default: what OTEL_TRACES_SAMPLER says, else 1]",
    ),
    click.option(
        "--sample-path",
        multiple=True,
        metavar="PREFIX=RATE",
        help="Another share where the path begins so; the longest prefix counts.",
    ),
    click.option(
        "--sample-route",
        multiple=True,
        metavar="ROUTE=RATE",
        help="Another share for a route, decided when the request ends.",
    ),
    click.option(
        "--remote-limit",
        metavar="N",
        help="Let the caller's traceparent decide, for at most N requests a second and worker.  "
        f"[default: {policy.REMOTE_LIMIT} with a parent-based sampler, else it decides nothing]",
    ),
    click.option(
        "--trust-remote",
        is_flag=True,
        help="Let the caller's traceparent decide, without a limit.",
    ),
    click.option(
        "--keep-slower-than",
        metavar="DURATION",
        help="Record every request that takes longer, as in 500ms or 1.5s.",
    ),
    click.option(
        "--keep-errors",
        is_flag=True,
        help="Record every request that fails: status 500 and above, or an exception.",
    ),
    click.option(
        "--server-timing",
        is_flag=True,
        help="Tell layers and trace of a recorded request in its response, for browsers' tools.",
    ),
)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which requests are recorded."""
    for decorate in reversed(_DECORATORS):
        command = decorate(command)
    return command


def policy_variables(given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a server from the options' values and this environment's.

    Raises `BadInputError` for the first that can't be used.
    """
    asked: dict[str, str] = {}
    for variable, option in _OPTIONS.items():
        value = given[option.removeprefix("--").replace("-", "_")]
        if value == "":
            raise BadInputError(f"{option}: says nothing")
        if value:
            text = shlex.join(value) if isinstance(value, tuple) else str(value)
            asked[variable] = "1" if value is True else text
    merged = {**environ, **asked}
    _, problems = policy.read_policy(merged)
    for variable, reason in problems:
        name = _OPTIONS[variable] if variable in asked else variable
        raise BadInputError(f"{name}: {reason}")
    return {name: merged[name] for name in policy.VARIABLES if merged.get(name)}
