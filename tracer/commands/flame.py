"""`tracer flame`: Python stacks of one request, of many, or of two recordings compared."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tracer.commands import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.flame.flame_graph import FlameGraph, RequestStacks
    from tracer.recording.reader import Recording

FORMATS: Final = ("html", "speedscope", "perfetto", "pprof", "collapsed", "text")
_SUFFIXES: Final = {
    "html": ".html",
    "speedscope": ".speedscope.json",
    "perfetto": ".perfetto.json",
    "pprof": ".pb.gz",
}
_MOST: Final = 1_000
_FEW: Final = 20
_HOW: Final = "tracer run --flame all (or 1/N, slower=500ms, header) -- SERVER COMMAND takes them"


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--request", "wanted", metavar="ID", help="request or trace id, slowest, median.")
@click.option("--route", metavar="ROUTE", help="Only requests of this route, as in `test/`.")
@click.option("--aggregate", is_flag=True, help="Add up the requests instead of showing one.")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="RECORDING",
    help="Show what takes longer (red) or shorter (blue) there, added up.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="[default: beside the recording; standard output for text and collapsed]",
)
def flame(  # noqa: PLR0913 - one a question the command line asks
    recording: Path,
    *,
    wanted: str | None,
    route: str | None,
    against: Path | None,
    form: str,
    output: Path | None,
    aggregate: bool,
) -> None:
    """Draw the Python stacks in RECORDING, below the layers they ran in.

    Without --request it is the median request of those with stacks.
    """
    from tracer.recording.reader import RecordingError

    if wanted is not None and (aggregate or against is not None):
        raise BadInputError("--request: shows one request, not many added up")
    target = output or _default(recording, form)
    try:
        picture = _picture(recording, wanted, route, together=aggregate or against is not None)
        if against is not None:
            picture = _compared(picture, recording, against, route)
        _spare([recording, against], target)
        _write(picture, form, target)
    except RecordingError as error:
        raise BadInputError(str(error)) from error
    except ValueError as error:
        raise BadInputError(f"--format {form}: {error}") from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise BadInputError(f"{target}: cannot be written ({error.strerror})") from error


def _spare(recordings: list[Path | None], target: Path) -> None:
    """Refuse to write over what is read."""
    if str(target) == "-" or not target.exists():
        return
    if any(one is not None and target.samefile(one) for one in recordings):
        raise BadInputError(f"{target}: is the recording itself, not replaced")


def _default(recording: Path, form: str) -> Path:
    suffix = _SUFFIXES.get(form)
    return Path(f"{recording}.flame{suffix}") if suffix else Path("-")


def _picture(path: Path, wanted: str | None, route: str | None, *, together: bool) -> FlameGraph:
    from tracer.analysis.flame.flame_graph import of_request, of_requests
    from tracer.analysis.flame.pieces import is_thin

    with _opened(path) as opened:
        known = opened.with_stacks()
        if not known:
            raise BadInputError(f"{path}: no request in it has stacks: {_HOW}")
        if together:
            return of_requests(_taken(opened, known, route), route or "all routes")
        request, stacks = _one(opened, known, wanted, route)
        if is_thin(request.duration_ns, stacks) and request.route is not None:
            several = _taken(opened, known, request.route)
            if len(several) > 1:
                short = f"{request.route} (a request of it is too short to be drawn from samples)"
                return of_requests(several, short)
        return of_request(request, stacks)


def _compared(picture: FlameGraph, path: Path, against: Path, route: str | None) -> FlameGraph:
    from tracer.analysis.flame.flame_graph import difference

    other = _picture(against, None, route, together=True)
    return difference(picture, other, (path.stem, against.stem))


def _one(
    opened: Recording, known: frozenset[str], wanted: str | None, route: str | None
) -> RequestStacks:
    if wanted not in {None, "slowest", "median"}:
        request = opened.request(str(wanted), None, route)
        if request is None:
            raise BadInputError(f"{opened.path}: no request {wanted}")
        stacks = opened.stacks(request.request_id)
        if stacks is None:
            raise BadInputError(f"{opened.path}: request {wanted} has no stacks: {_HOW}")
        return request, stacks
    taken = sorted(_taken(opened, known, route), key=lambda one: one[0].duration_ns)
    return taken[-1] if wanted == "slowest" else taken[(len(taken) - 1) // 2]


def _taken(opened: Recording, known: frozenset[str], route: str | None) -> list[RequestStacks]:
    """Return the newest requests that have stacks, with them."""
    from collections import deque

    newest: deque[RequestStacks] = deque(maxlen=_MOST)
    for request in _those(opened, known):
        if route is None or request.route == route:
            stacks = opened.stacks(request.request_id)
            if stacks is not None:
                newest.append((request, stacks))
    if not newest:
        where = f" of route {route}" if route is not None else ""
        raise BadInputError(f"{opened.path}: no request{where} has stacks: {_HOW}")
    return list(newest)


def _those(opened: Recording, known: frozenset[str]) -> Iterator[Request]:
    """Give the requests that have stacks; where those are few, the others aren't looked at."""
    if len(known) * _FEW < opened.count() == opened.tallied:
        found = [opened.request(one) for one in known]
        yield from sorted((one for one in found if one), key=lambda one: one.start_ns)
        return
    for request in opened.requests():
        if request.request_id in known:
            yield request


def _opened(path: Path) -> Recording:
    from tracer.commands.report import open_recording

    return open_recording(path)


def _write(picture: FlameGraph, form: str, target: Path) -> None:
    content = _content(picture, form)
    from tracer.reports.files import open_output

    with open_output(target, "wb" if isinstance(content, bytes) else "w") as stream:
        stream.write(content)
    if str(target) != "-":
        click.echo(str(target), err=True)


def _content(picture: FlameGraph, form: str) -> str | bytes:
    import json

    from tracer.reports.flame.collapsed import collapsed
    from tracer.reports.flame.html import page
    from tracer.reports.flame.perfetto import perfetto
    from tracer.reports.flame.pprof import pprof
    from tracer.reports.flame.speedscope import speedscope

    if form == "pprof":
        return pprof(picture)
    if form == "collapsed":
        return "".join(collapsed(picture))
    if form == "html":
        return page(picture)
    if form == "text":
        return _text(picture)
    document: dict[str, Any] = (speedscope if form == "speedscope" else perfetto)(picture)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _text(picture: FlameGraph) -> str:
    import io
    import sys

    from rich.console import Console

    from tracer.reports.flame.text import render_flame

    here = Console()
    console = Console(
        file=io.StringIO(),
        force_terminal=sys.stdout.isatty(),
        width=here.width if sys.stdout.isatty() else 120,
    )
    render_flame(picture, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text
