"""`tracer agent`: an agent by hand, for servers that are wrapped and not started by us."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from tracer.commands import BadInputError
from tracer.commands.exporting import export_options, export_variables
from tracer.commands.rotation import rotation_options, rotation_variables


@click.command()
@click.option(
    "--record",
    "recording",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The recording to write; one that is there is continued.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to meet the workers; by default where those meet that name the same recording.",
)
@rotation_options
@export_options
def agent(  # noqa: PLR0913 - one an option
    recording: Path,
    *,
    directory: Path | None,
    rotate_size: str | None,
    rotate_age: str | None,
    otlp: str | None,
    span_detail: str | None,
) -> None:
    """Write what wrapped servers hand over, until Ctrl-C or SIGTERM.

    Give the servers the variable that is printed, or TRACER_RECORD with the same
    recording. A directory that an agent has left behind is read to its end first.
    """
    from tracer.agent.session import AgentError, open_session
    from tracer.launch.spawn import RING_DIRECTORY
    from tracer.ring.directory import directory_of

    rotate = rotation_variables(rotate_size, rotate_age, os.environ)
    export = export_variables(otlp, span_detail, os.environ)
    where = (directory or directory_of(recording)).absolute()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        with open_session(recording, directory=where, rotate=rotate, export=export):
            click.echo(f"{RING_DIRECTORY}={where}")
            sys.stdout.flush()
            try:
                while True:
                    signal.pause()
            except KeyboardInterrupt:
                pass
    except KeyboardInterrupt:
        return
    except AgentError as error:
        raise BadInputError(str(error)) from error


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
