"""`tracer run`: start a server traced, with no change to its code."""

from __future__ import annotations

import itertools
import math
import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from tracer.commands import BadInputError

_DEFAULT = "tracer.recording"


def _share(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("nan is no share.")
    return value


@click.command(context_settings={"ignore_unknown_options": False})
@click.option(
    "--record",
    "recording",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(_DEFAULT),
    show_default=True,
    help="The recording to write.",
)
@click.option(
    "--sample",
    type=click.FloatRange(0, 1),
    callback=_share,
    default=1.0,
    show_default=True,
    help="The share of requests to trace.",
)
@click.option("--record-paths", is_flag=True, help="Keep real paths; by default only routes.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(recording: Path, sample: float, *, record_paths: bool, command: tuple[str, ...]) -> None:
    """Run SERVER COMMAND in this process's place, traced, and write a recording.

    \b
    tracer run --record site.tracer -- gunicorn mysite.wsgi
    tracer report site.tracer
    """  # noqa: D301 - click's own mark for a paragraph to leave alone
    from tracer.agent.session import AgentError, open_session
    from tracer.experiment.redact import redact

    program = shutil.which(command[0])
    if program is None:
        raise BadInputError(f"{command[0] or repr('')}: command not found")
    if _ignores_python_path(program, command[1:]):
        raise BadInputError("python -I and -E ignore PYTHONPATH, so their server can't be traced")
    try:
        session = open_session(
            recording,
            sample=sample,
            record_paths=record_paths,
            command=redact(shlex.join(command)),
        )
    except AgentError as error:
        raise BadInputError(str(error)) from error
    environment = session.environment(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, command, environment)  # noqa: S606 - that is what it is for
    except OSError as error:
        session.close()
        raise BadInputError(f"{command[0]}: cannot be run ({error.strerror})") from error


def _ignores_python_path(program: str, options: tuple[str, ...]) -> bool:
    """Say whether this starts Python in a way that hides us from it."""
    if not Path(program).name.startswith("python"):
        return False
    flags = itertools.takewhile(_is_flag, options)
    return any({"I", "E"} & set(flag) for flag in flags)


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not word.startswith("--") and not {"c", "m"} & set(word)
