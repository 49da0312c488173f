"""`tracer run`: start a server traced, with no change to its code."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from tracer.commands import BadInputError

_DEFAULT = "tracer.recording"


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

    program = shutil.which(command[0])
    if program is None:
        message = f"{command[0]}: command not found"
        raise BadInputError(message)
    if os.environ.get("PYTHONNOUSERSITE") is None and "-I" in command[1:2]:
        message = "python -I ignores PYTHONPATH, so its server can't be traced"
        raise BadInputError(message)
    try:
        session = open_session(recording, sample=sample, record_paths=record_paths)
    except AgentError as error:
        raise BadInputError(str(error)) from error
    environment = session.environment(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, command, environment)  # noqa: S606 - that is what it is for
