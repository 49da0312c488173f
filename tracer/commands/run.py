"""`tracer run`: start a server traced, with no change to its code."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click

from tracer.commands import BadInputError
from tracer.commands.exporting import export_options, export_variables
from tracer.commands.flame_options import flame_options, flame_variables
from tracer.commands.policy import policy_options, policy_variables
from tracer.commands.rotation import rotation_options, rotation_variables

_DEFAULT = "tracer.recording"
_UNKNOWN: Final = frozenset({"daphne", "granian", "hypercorn", "uwsgi", "waitress-serve"})


@click.command(context_settings={"ignore_unknown_options": False})
@click.option(
    "--record",
    "recording",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(_DEFAULT),
    show_default=True,
    help="The recording to write.",
)
@rotation_options
@policy_options
@export_options
@flame_options
@click.option("--record-paths", is_flag=True, help="Keep real paths; by default only routes.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    recording: Path,
    *,
    rotate_size: str | None,
    rotate_age: str | None,
    record_paths: bool,
    command: tuple[str, ...],
    **asked: Any,
) -> None:
    """Run SERVER COMMAND in this process's place, traced, and write a recording.

    \b
    tracer run --record site.tracer -- gunicorn mysite.wsgi
    tracer report site.tracer
    """  # noqa: D301 - click's own mark for a paragraph to leave alone
    from tracer.agent.session import AgentError, open_session
    from tracer.commands.interpreters import hiding_option
    from tracer.compare.redact import redact

    program = shutil.which(command[0])
    if program is None:
        raise BadInputError(f"{command[0] or repr('')}: command not found")
    option = hiding_option([program, *command[1:]])
    if option is not None:
        raise BadInputError(
            f"{command[0]}: python {option} ignores what makes its servers traced; "
            "run it without, or use tracer.wrap"
        )
    export = export_variables(asked.pop("otlp"), asked.pop("span_detail"), os.environ)
    policy = policy_variables(asked, os.environ) | flame_variables(asked, os.environ)
    rotate = rotation_variables(rotate_size, rotate_age, os.environ)
    try:
        session = open_session(
            recording,
            policy=policy,
            record_paths=record_paths,
            command=redact(shlex.join(command)),
            rotate=rotate,
            export=export,
        )
    except AgentError as error:
        raise BadInputError(str(error)) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise BadInputError(f"no agent can be started ({error})") from error
    environment = session.environment(os.environ)
    for server in _UNKNOWN.intersection(map(os.path.basename, command)):
        click.echo(f"tracer: no probe knows {server}: its requests are not recorded", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execve(program, command, environment)  # noqa: S606 - that is what it is for
    except OSError as error:
        with contextlib.suppress(AgentError):
            session.close()
        raise BadInputError(f"{command[0]}: cannot be run ({error.strerror})") from error
