"""`tracer compare`: servers side by side, in interleaved rounds."""

from __future__ import annotations

import functools
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tracer.commands.flame_options import flame_variables, stacks_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from tracer.compare.experiment import Experiment
    from tracer.compare.run import Outcome

_BAD_INPUT = 2
_INTERRUPTED = 1
_WIDTH = 100


@click.command()
@click.option("--a", metavar="CMD", help="Server command of configuration a.")
@click.option("--b", metavar="CMD", help="Server command of configuration b.")
@click.option("--config", metavar="NAME=CMD", multiple=True, help="One more, any number of times.")
@click.option("--path", metavar="PATH", multiple=True, help="What to request; several in turn.")
@click.option("--method", metavar="M", help="HTTP method; POST where there is --data, else GET.")
@click.option("--header", metavar="H", multiple=True, help="'Name: value', any number of times.")
@click.option("--data", metavar="D", help="The request's body.")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds each, 10 if not given.")
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    help="Requests in a round; if not given 100, fewer where that takes too long.",
)
@click.option("--concurrency", type=click.IntRange(min=1), help="Connections, closed loop.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second, open loop: sent when due, however slow the answers.",
)
@click.option(
    "--connection",
    type=click.Choice(["keep-alive", "close"]),
    default="keep-alive",
    show_default=True,
    help="Keep connections, or open a new one for each request.",
)
@click.option("--include-errors", is_flag=True, help="Compare answers of status 500 too.")
@click.option("--json", "json_file", metavar="FILE", help="Write the comparison; - is stdout.")
@click.option("--html", "html_file", metavar="FILE", help="Write all of it as one page.")
@click.option("--record", metavar="DIR", help="Keep one recording a configuration.")
@click.option(
    "--flame",
    is_flag=True,
    help="Afterwards take the Python stacks of some requests too, for flame graphs in the page.",
)
@stacks_options
def compare(json_file: str | None, html_file: str | None, **given: Any) -> None:
    """Measure servers against each other and say where the difference is.

    Without a configuration: the demo site under gunicorn's sync workers against
    gunicorn with uvicorn workers. {port} or {bind} in a command is replaced by a
    free address; the usual servers are given it in their own way without.
    """
    from tracer.compare.options import Options, experiments_of

    given["flame"] = _variables(given)
    try:
        experiments = experiments_of(Options(**given))
    except (ValueError, FileNotFoundError) as error:
        raise click.UsageError(str(error)) from error
    json_path = None if json_file in {None, "-"} else _writable(str(json_file))
    html_path = None if html_file is None else _writable(html_file)
    runs: list[tuple[Experiment, Outcome]] = []
    with _one_clear_line():
        for experiment in experiments:
            outcome = _run(experiment, first=not runs)
            if outcome is not None:
                runs.append((experiment, outcome))
            if outcome is None or outcome.interrupted or outcome.failure:
                break
    _report(runs, json_path, html_path, json_to_stdout=json_file == "-")


def _variables(given: dict[str, Any]) -> dict[str, str]:
    """Take the options of stacks out of those given; return the variables for servers."""
    asked = {name: given.pop(name) for name in ("flame", "flame_source", "flame_interval")}
    return flame_variables({**asked, "flame": "all" if asked["flame"] else None}, {})


def _writable(file: str) -> Path:
    """Better said now than after the measurement."""
    path = Path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
    except OSError as error:
        raise click.UsageError(f"{file!r} can't be written: {error.strerror}") from error
    return path


@contextmanager
def _one_clear_line() -> Iterator[None]:
    """Turn what a user's server or command did wrong into one line and exit 2."""
    from tracer.agent.session import AgentError
    from tracer.compare.address import CommandError
    from tracer.compare.load import LoadError
    from tracer.compare.run import NothingMeasuredError
    from tracer.compare.servers import ServerError
    from tracer.recording.reader import RecordingError

    try:
        yield
    except ServerError as error:
        _refuse(str(error), error.lines)
    except (CommandError, LoadError, AgentError, RecordingError, OSError) as error:
        _refuse(str(error))
    except (NothingMeasuredError, KeyboardInterrupt):
        click.echo("tracer: interrupted before the first round was complete", err=True)
        sys.exit(_INTERRUPTED)


def _refuse(message: str, lines: tuple[str, ...] = ()) -> NoReturn:
    click.echo(f"tracer: {message}", err=True)
    if lines:
        click.echo("the server's last lines:", err=True)
    for line in lines:
        click.echo(f"  {line}", err=True)
    sys.exit(_BAD_INPUT)


def _run(experiment: Experiment, *, first: bool) -> Outcome | None:
    """Run one experiment; None where it is not the first and was interrupted at its start."""
    from tracer.agent.session import open_session
    from tracer.compare.run import NothingMeasuredError, run_experiment
    from tracer.compare.tracing import Tracing
    from tracer.recording.reader import Recording

    tracing = Tracing(functools.partial(open_session, conclude=False), Recording)
    with _progress() as progress:
        try:
            return run_experiment(experiment, tracing, progress=progress)
        except (NothingMeasuredError, KeyboardInterrupt):
            if first:
                raise
            return None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """Show a bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    # Drawn only between rounds: a thread that draws would compete with what is measured.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("")

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total, refresh=True)

        yield show


def _report(
    runs: list[tuple[Experiment, Outcome]],
    json_path: Path | None,
    html_path: Path | None,
    *,
    json_to_stdout: bool,
) -> None:
    from rich.console import Console

    from tracer.compare.report import document_of, render
    from tracer.reports.files import open_output

    documents = [document_of(experiment, outcome) for experiment, outcome in runs]
    first = documents[0]
    if documents[1:]:
        first["also"] = documents[1:]
    if json_path is not None:  # before anything is printed: a closed pager must not lose it
        with open_output(json_path) as written:
            written.write(json.dumps(first, indent=1) + "\n")

    def draw(console: Console) -> None:
        render(documents, runs, console)

    stream = sys.stderr if json_to_stdout else sys.stdout
    draw(Console(file=stream, width=None if stream.isatty() else _WIDTH))
    if json_to_stdout:
        click.echo(json.dumps(first))
    if html_path is not None:
        from tracer.compare.report import views_of
        from tracer.reports.page.render import write_page

        names = " · ".join(one.name for one in runs[0][0].configurations)
        write_page(html_path, f"tracer compare: {names}", views_of(documents, runs))
        click.echo(f"The page: {html_path}", err=True)
