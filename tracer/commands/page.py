"""The page of a recording: which of its requests are shown in full, and where it is written."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracer.analysis.measurement import Measurement
    from tracer.analysis.request import Request
    from tracer.sinks.recording import Recording


def recording_page(
    opened: Recording, measurement: Measurement, route: str | None, output: Path
) -> Path:
    """Write the page and return where; the request that was asked for is shown first."""
    from tracer.analysis.spread import quantile
    from tracer.analysis.summary import report_document
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
    view = view_of(document, [side])
    view["repeat"].append(f"tracer report {shlex.quote(opened.path.name)} --format html")
    target = Path(f"{opened.path}.html") if str(output) == "-" else output
    write_page(target, f"tracer report of {opened.path.name}", [view])
    return target
