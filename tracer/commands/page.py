"""The page of a recording: which of its requests are shown in full, and where it is written."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.flame.flame_graph import RequestStacks
    from tracer.analysis.statistics.measurement import Measurement
    from tracer.recording.reader import Recording

    Fetch = Callable[[Sequence[int]], Iterator[Request]]

_ADDED_UP: Final = 100
_ALONE: Final = 20
_STRETCHES: Final = 60_000
"""So many are read of all stacks together: of large ones fewer are added up."""


def recording_page(
    opened: Recording, measurement: Measurement, route: str | None, output: Path
) -> Path:
    """Write the page and return where; the request that was asked for is shown first."""
    from tracer.analysis.documents import report_document
    from tracer.analysis.statistics.spread import quantile
    from tracer.reports.page.render import write_page
    from tracer.reports.page.view import pick, view_of

    document = report_document(measurement)
    tallies = measurement.tallies
    latencies = [(one.latency, key.weight) for key, one in tallies.items()] if tallies else []

    def fetch(numbers: Sequence[int]) -> Iterator[Request]:
        for number in numbers:
            yield from opened.requests(after=number - 1, until=number)

    side = pick(
        measurement,
        opened.overview(route),
        fetch,
        median_ns=quantile(latencies, 0.5) or 0,
        p99_ns=quantile(latencies, 0.99) or 0,
        wanted=measurement.median,
    )
    view = view_of(document, [side], flames=_flames(opened, route, measurement.median, fetch))
    view["repeat"].append(f"tracer report {shlex.quote(opened.path.name)} --format html")
    target = Path(f"{opened.path}.html") if str(output) == "-" else output
    write_page(target, f"tracer report of {opened.path.name}", [view])
    return target


def _flames(
    opened: Recording, route: str | None, wanted: Request | None, fetch: Fetch
) -> dict[str, Any] | None:
    """Return the flame graphs of a recording, None where no request has stacks.

    The newest are added up; of all that have stacks some are shown alone.
    """
    from tracer.reports.page.flames import Stacked, flames_of, newest_of

    known = opened.overview(route, stacked=True)
    if not len(known):
        return None
    newest = known.numbers[-_ADDED_UP:].tolist()
    taken = list(_taken(opened, fetch(newest[::-1])))
    others = [number for number in known.spread(_ALONE) if number not in newest]
    apart = list(_taken(opened, fetch(others)))
    if wanted is not None:
        apart = [*_taken(opened, [wanted]), *apart]
    side = Stacked(opened.path.stem, taken, apart, wanted.request_id if wanted else None)
    return flames_of([side], newest_of(len(taken), len(known)))


def _taken(opened: Recording, requests: Iterable[Request]) -> Iterator[RequestStacks]:
    """Give requests with their stacks until those are too many; one is given in any case."""
    left = _STRETCHES
    for request in requests:
        stacks = opened.stacks(request.request_id)
        if stacks is not None:
            yield request, stacks
            left -= len(stacks.stretches)
            if left < 0:
                return
