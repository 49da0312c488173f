"""`tracer report`: what a recording says, for people and for programs."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracer.commands import BadInputError
from tracer.model.wording import plural
from tracer.reports.files import open_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.statistics.measurement import Measurement
    from tracer.analysis.statistics.tally import Tallies
    from tracer.recording.reader import Recording


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
@click.option("--redo", is_flag=True, help="First attribute all requests anew, and keep that.")
def report(  # noqa: PLR0913 - one a question the command line asks
    recording: Path, form: str, wanted: str | None, route: str | None, output: Path, *, redo: bool
) -> None:
    """Print what a RECORDING says; it may still be being written."""
    from tracer.recording.reader import RecordingError

    try:
        if redo:
            _redo(recording)
        with open_recording(recording) as opened:
            _spare(recording, output)
            if form == "jsonl" and wanted is None:
                _write_lines(_some(opened, route), output)
            else:
                _write(opened, wanted, route, form, output)
    except RecordingError as error:
        raise BadInputError(str(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise BadInputError(f"{output}: cannot be written ({error.strerror})") from error


def _write(
    opened: Recording, wanted: str | None, route: str | None, form: str, output: Path
) -> None:
    """Write the summary, or what one request says."""
    from tracer.analysis.statistics.spread import quantile

    tallies, concluded = opened.tallies()
    for key in list(tallies):
        if route is not None and key.route != route:
            del tallies[key]
    if not tallies:
        raise BadInputError(_none(opened, route))
    p50 = quantile([(one.latency, key.weight) for key, one in tallies.items()], 0.5)
    chosen = None
    if wanted is not None or form == "text":
        chosen = opened.request("median" if wanted is None else wanted, p50, route)
    if wanted is not None and chosen is None:
        raise BadInputError(f"{opened.path}: no request {wanted}")
    if form == "jsonl":
        _write_lines(iter([chosen] if chosen else []), output)
        return
    measurement = _measurement(opened, tallies, concluded, chosen)
    if form == "html":
        from tracer.commands.page import recording_page

        click.echo(recording_page(opened, measurement, route, output), err=True)
        return
    _print(measurement, form, output, named=wanted is not None)


def _redo(path: Path) -> None:
    from tracer.recording.background import redo
    from tracer.recording.reader import Recording

    with Recording(path) as there:
        if there.open:
            raise BadInputError(f"{path}: was not ended, so nothing in it is attributed anew")
        workers = dict(there.workers)
    click.echo(f"{redo(path, workers)} requests attributed anew", err=True)


def _some(opened: Recording, route: str | None) -> Iterator[Request]:
    """Give the requests of a route, all of them without one; complain if there are none."""
    count = 0
    for request in opened.requests():
        if route is None or request.route == route:
            count += 1
            yield request
    if route is not None and not count:
        raise BadInputError(_none(opened, route))


def _none(opened: Recording, route: str | None) -> str:
    where = f" of route {route}" if route is not None else ""
    seen = opened.counts.get("seen", 0)
    tail = f"; {seen} were seen" if seen else ""
    return f"{opened.path}: no requests{where}{tail}"


def _spare(recording: Path, output: Path) -> None:
    """Refuse to write over what is read."""
    if str(output) != "-" and output.exists() and output.samefile(recording):
        raise BadInputError(f"{output}: is the recording itself, not replaced")


def open_recording(path: Path) -> Recording:
    """Open a recording; one that is being written is brought up to date first."""
    from tracer.agent.session import sync_with
    from tracer.recording.reader import Recording

    opened = Recording(path)
    if opened.open and "socket" in opened.meta:
        opened.close()
        sync_with(opened.meta["socket"])
        opened = Recording(path)
    return opened


def _write_lines(requests: Iterator[Request], output: Path) -> None:
    from tracer.reports.json import jsonl

    with open_output(output) as stream:
        jsonl(requests, stream)


def _print(measurement: Measurement, form: str, output: Path, *, named: bool) -> None:
    from rich.console import Console

    from tracer.analysis.documents import report_document
    from tracer.reports.json import dump
    from tracer.reports.terminal import render_report, render_request

    document: dict[str, Any] = report_document(measurement)
    if form == "json":
        with open_output(output) as stream:
            dump(document, stream)
        return

    def render(console: Console) -> None:
        if named and measurement.median is not None:
            render_request(measurement.median, console)
        else:
            render_report(document, measurement, console)

    with open_output(output) as stream:
        render(Console(file=stream, width=None if stream.isatty() else 100))


def not_exported(export: Mapping[str, Any]) -> int:
    """Return how many traces never came to a backend, by an agent's word."""
    return int(export["failed_traces"] + export["shed_traces"])


def _said_of_export(export: Mapping[str, Any]) -> str:
    failed, shed = export["failed_traces"], export["shed_traces"]
    why = f" ({export['error']})" if export["error"] else ""
    return (
        f"{plural(failed + shed, 'trace')} not exported: {failed} failed{why}, "
        f"{shed} shed; the recording has them"
    )


def _measurement(
    opened: Recording, tallies: Tallies, concluded: int, chosen: Request | None
) -> Measurement:
    from tracer.analysis.shapes.tally_builder import VERSION
    from tracer.analysis.statistics.measurement import Measurement, Round

    notes = [] if not opened.open else ["the recording is still open: requests may follow"]
    if concluded and opened.tallied:
        notes.append(
            f"the agent had not come to attribute the last {plural(concluded, 'request')}: "
            "this report did"
        )
    if opened.attribution not in {None, VERSION}:
        notes.append(
            f"attributed by version {opened.attribution}, while this tracer has version "
            f"{VERSION}: `tracer report --redo` does it anew"
        )
    export = opened.meta.get("export")
    if export and not_exported(export):
        notes.append(_said_of_export(export))
    return Measurement(
        name=opened.path.stem,
        command=str(opened.meta.get("command", "")),
        environment=opened.environment,
        seams=opened.seams,
        rounds=(Round(1, traced=True),),
        dropped_timelines=opened.dropped,
        notes=tuple(notes),
        tallies=tallies,
        median=chosen,
        counts={
            **opened.counts,
            "recorded": opened.count(),
            "weighted": sum(one.requests * key.weight for key, one in tallies.items()),
            "dropped": opened.dropped,
            "lost": int(opened.meta.get("lost", 0)),
            "lag": concluded,
            **({"exported": export["exported_traces"]} if export else {}),
            **({"not_exported": not_exported(export)} if export else {}),
            "attribution": VERSION if opened.attribution is None else opened.attribution,
        },
    )
