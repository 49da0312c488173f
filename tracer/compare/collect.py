"""From what the client saw and what the servers recorded to one measurement."""

from __future__ import annotations

import gc
import statistics
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tracer.analysis.statistics.measurement import Measurement, Round
from tracer.compare.load import SERVER_ERROR, LoadResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from tracer.analysis.attribution.request import Client, Request
    from tracer.compare.tracing import Reader

_BAD_REQUEST = 400
_LATE_NS = 1_000_000


class Driven(NamedTuple):
    """One step that was driven to its end."""

    number: int
    traced: bool
    result: LoadResult


def measurement(  # noqa: PLR0913 - the parts of one measurement
    name: str,
    command: str,
    recording: AbstractContextManager[Reader],
    driven: Sequence[Driven],
    floor_ns: tuple[int, ...],
    *,
    include_errors: bool,
) -> Measurement:
    """Read a recording once and give every request to the round that sent it.

    What the client didn't send in a round (warm-up, strangers) is left out, and
    so is what failed, unless `include_errors`.
    """
    rounds: dict[str, int] = {}
    clients: dict[str, Client] = {}
    for place, step in enumerate(driven):
        for answer in step.result.answers if step.traced else ():
            if answer.status is not None:
                rounds[answer.trace_id] = place
                clients[answer.trace_id] = answer.client()
    floor = round(statistics.median(floor_ns)) if floor_ns else None
    found: list[list[Request]] = [[] for _ in driven]
    recorded = 0
    with recording as reader, _no_collection():
        for request in reader.requests(clients, floor):
            place = rounds.pop(request.trace_id, -1)
            if place < 0:
                continue
            recorded += 1
            if include_errors or (request.status or 0) < SERVER_ERROR:
                found[place].append(request)
        return Measurement(
            name=name,
            command=command,
            environment=dict(reader.environment),
            seams=tuple(reader.seams),
            rounds=tuple(
                _round(step, requests, include_errors=include_errors)
                for step, requests in zip(driven, found, strict=True)
            ),
            network_floor_ns=floor_ns,
            dropped_timelines=reader.dropped,
            notes=tuple(_notes(driven, recorded, len(clients))),
        )


def _round(step: Driven, requests: list[Request], *, include_errors: bool) -> Round:
    result = step.result
    latencies = result.latencies_ns
    if include_errors:
        latencies += result.error_latencies_ns
    return Round(step.number, step.traced, tuple(requests), latencies, result.errors)


def _notes(driven: Sequence[Driven], recorded: int, sent: int) -> Iterator[str]:
    answers = [answer for step in driven for answer in step.result.answers]
    if recorded < sent:
        yield f"{sent - recorded} of {sent} traced requests were not recorded"
    statuses = Counter(one.status for one in answers if one.status is not None)
    for status, count in sorted(statuses.items()):
        if status >= _BAD_REQUEST:
            yield f"{count} of {len(answers)} requests were answered {status}"
    failures = Counter(one.error for one in answers if one.error is not None)
    for error, count in sorted(failures.items()):
        yield f"{count} of {len(answers)} requests got no answer ({error})"
    late = sum(one.send_ns - one.scheduled_ns > _LATE_NS for one in answers)
    if late:
        yield (
            f"{late} of {len(answers)} requests left the client more than 1 ms late; "
            "their latency counts from when they were due"
        )


@contextmanager
def _no_collection() -> Iterator[None]:
    # Hundreds of thousands of segments, none of them garbage: collecting only costs.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
