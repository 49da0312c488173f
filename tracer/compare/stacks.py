"""Requests with Python stacks, for the flame graphs of a comparison.

They are asked of servers of their own, after all rounds and one after the other, and lie
in recordings of their own: no figure of the comparison has anything of them in it.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tracer.compare.load import LoadError, on_port, run_load
from tracer.compare.servers import Server, ServerError
from tracer.settings.sampling import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tracer.analysis.attribution.request import Client
    from tracer.analysis.flame.flame_graph import RequestStacks
    from tracer.analysis.statistics.measurement import Measurement
    from tracer.compare.experiment import Configuration, Experiment
    from tracer.compare.load import Answer
    from tracer.compare.tracing import Reader, Tracing

REQUESTS: Final = 100
_SECONDS: Final = 3.0
_FOLDER: Final = "flame"


@dataclass(frozen=True, slots=True)
class Stacked:
    """Requests of each configuration with their stacks; `failure` is why there are no more."""

    taken: tuple[tuple[RequestStacks, ...], ...]
    failure: str | None = None


def take_stacks(
    experiment: Experiment,
    tracing: Tracing,
    directory: Path,
    measurements: Sequence[Measurement],
    progress: Callable[[str, int, int], None] | None,
) -> Stacked:
    """Take stacks under each configuration; what was measured stands, whatever becomes of them."""
    found: list[tuple[RequestStacks, ...]] = []
    try:
        folder = directory / _FOLDER
        folder.mkdir(exist_ok=True)
        for one, measured in zip(experiment.configurations, measurements, strict=True):
            if progress is not None:
                progress(f"stacks: {one.name}", len(found), len(measurements))
            path = folder / f"{one.name}{experiment.suffix}.tracer"
            answers = _drive(experiment, one, tracing, path)
            floor_ns = round(statistics.median(measured.network_floor_ns or (0,)))
            with tracing.read(path) as reader:
                found.append(_taken(reader, answers, floor_ns))
    except KeyboardInterrupt:
        return Stacked(tuple(found), "interrupted before all stacks were taken")
    except (ServerError, LoadError, OSError) as error:
        return Stacked(tuple(found), f"not all stacks could be taken: {error}")
    return Stacked(tuple(found))


def _drive(
    experiment: Experiment, one: Configuration, tracing: Tracing, path: Path
) -> Sequence[Answer]:
    """Ask a server that takes stacks; what warmed it up is not among the answers."""
    policy = {SAMPLE: "1", **experiment.flame}
    base = {**os.environ, **one.environment}
    load = experiment.load
    asked = replace(
        load, requests=REQUESTS, warmup=0, concurrency=1, rate=None, max_seconds=_SECONDS
    )
    with (
        tracing.open_session(path, policy=policy) as session,
        Server(one.command, environment=session.environment(base)) as server,
    ):
        server.wait_ready(
            load.targets[0],
            host=dict(load.headers).get("Host"),
            timeout_s=experiment.ready_timeout_s,
        )
        run_load(on_port(experiment.spread(), server.port))
        result = run_load(on_port(asked, server.port))
        session.sync()
    return [answer for answer in result.answers if not answer.failed]


def _taken(reader: Reader, answers: Sequence[Answer], floor_ns: int) -> tuple[RequestStacks, ...]:
    clients: Mapping[str, Client] = {answer.trace_id: answer.client() for answer in answers}
    return tuple(
        (request, stacks)
        for request in reader.requests(clients, floor_ns)
        if (stacks := reader.stacks(request.request_id)) is not None
    )
