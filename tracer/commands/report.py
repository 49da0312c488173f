"""`tracer report`: what a recording says, for people and for programs."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracer.commands import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import TextIO

    from tracer.analysis.measurement import Measurement
    from tracer.analysis.request import Request
    from tracer.sinks.recording import Recording


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "jsonl", "html"]),
    default="text",
    show_default=True,
)
@click.option("--request", "wanted", metavar="ID", help="request or trace id, slowest, median.")
@click.option("--route", metavar="ROUTE", help="Only requests of this route, as in `test/`.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default="-",
    show_default=True,
)
def report(recording: Path, form: str, wanted: str | None, route: str | None, output: Path) -> None:
    """Print what a RECORDING says; it may still be being written."""
    from tracer.sinks.recording import RecordingError

    try:
        with _open(recording) as opened:
            _spare(recording, output)
            requests = _of_route(opened.requests(), route)
            if form == "jsonl" and wanted is None and route is None:
                _write_lines(requests, output)
                return
            found = list(requests)
            if not found:
                where = f" of route {route}" if route is not None else ""
                message = f"{recording}: no requests{where}"
                raise BadInputError(message)
            chosen = _choose(found, wanted, recording)
            if form == "jsonl":
                _write_lines(iter([chosen] if chosen else found), output)
                return
            _print(opened, found, chosen, form, output, named=wanted is not None)
    except RecordingError as error:
        raise BadInputError(str(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise BadInputError(f"{output}: cannot be written ({error.strerror})") from error


def _spare(recording: Path, output: Path) -> None:
    """Refuse to write over what is read."""
    if str(output) != "-" and output.exists() and output.samefile(recording):
        raise BadInputError(f"{output}: is the recording itself, not replaced")


def _open(path: Path) -> Recording:
    """Open a recording; one that is being written is brought up to date first."""
    from tracer.agent.session import sync_with
    from tracer.sinks.recording import Recording

    opened = Recording(path)
    if opened.open and "socket" in opened.meta:
        opened.close()
        sync_with(opened.meta["socket"])
        opened = Recording(path)
    return opened


def _of_route(requests: Iterator[Request], route: str | None) -> Iterator[Request]:
    if route is None:
        return requests
    return (request for request in requests if request.route == route)


def _choose(requests: list[Request], wanted: str | None, recording: Path) -> Request | None:
    if wanted is None:
        return None
    by_duration = sorted(requests, key=lambda request: request.duration_ns)
    if wanted == "slowest":
        return by_duration[-1]
    if wanted == "median":
        return by_duration[(len(by_duration) - 1) // 2]
    for request in requests:
        if wanted.lower() in {request.request_id, request.trace_id}:
            return request
    message = f"{recording}: no request {wanted}"
    raise BadInputError(message)


def _write_lines(requests: Iterator[Request], output: Path) -> None:
    from tracer.reports.json import jsonl

    with _stream(output) as stream:
        jsonl(requests, stream)


def _print(  # noqa: PLR0913 - one a question the command line asks
    opened: Recording,
    requests: list[Request],
    chosen: Request | None,
    form: str,
    output: Path,
    *,
    named: bool,
) -> None:
    from rich.console import Console

    from tracer.analysis.summary import report_document
    from tracer.reports.html import write_html
    from tracer.reports.json import dump
    from tracer.reports.terminal import render_report, render_request

    measurement = _measurement(opened, requests)
    document: dict[str, Any] = report_document(measurement)
    if form == "json":
        with _stream(output) as stream:
            dump(document, stream)
        return

    def render(console: Console) -> None:
        if named and chosen is not None:
            render_request(chosen, console)
        else:
            render_report(document, measurement, console, chosen)

    if form == "html":
        target = Path(f"{opened.path}.html") if str(output) == "-" else output
        write_html(target, render, f"tracer report of {opened.path.name}")
        click.echo(str(target), err=True)
        return
    with _stream(output) as stream:
        render(Console(file=stream, width=None if stream.isatty() else 100))


def _stream(output: Path) -> AbstractContextManager[TextIO]:
    opened: AbstractContextManager[TextIO] = click.open_file(str(output), "w", encoding="utf-8")  # type: ignore[assignment]
    return opened


def _measurement(opened: Recording, requests: list[Request]) -> Measurement:
    from tracer.analysis.measurement import Measurement, Round

    errors = sum((request.status or 0) >= 500 for request in requests)  # noqa: PLR2004
    notes = [] if not opened.open else ["the recording is still open: requests may follow"]
    return Measurement(
        name=opened.path.stem,
        command=str(opened.meta.get("command", "")),
        environment=opened.environment,
        seams=opened.seams,
        rounds=(Round(1, traced=True, requests=tuple(requests), errors=errors),),
        dropped_timelines=opened.dropped,
        notes=tuple(notes),
    )
