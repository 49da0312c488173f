"""An A/B run: which configurations, in which order, and what came of each round.

A configuration has two server groups, one traced and one control, both started
once and used round after round: tracing is switched on by environment only.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracer.compare.address import free_ports
from tracer.compare.collect import Driven, measurement
from tracer.compare.echo import measure_floor
from tracer.compare.load import LoadResult, on_port, run_load
from tracer.compare.servers import Server, ServerError
from tracer.compare.stacks import Stacked, take_stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracer.analysis.statistics.measurement import Measurement
    from tracer.compare.experiment import Configuration, Experiment
    from tracer.compare.tracing import Session, Tracing

_PROBE_REQUESTS = 20


class Step(NamedTuple):
    """One stretch of load: which configuration, in which round, traced or control."""

    round: int
    configuration: int
    traced: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured; `interrupted` by Ctrl-C, or ended by `failure` of a server."""

    measurements: tuple[Measurement, ...]
    rounds: int
    interrupted: bool = False
    failure: str | None = None
    stacked: Stacked | None = None


class NothingMeasuredError(Exception):
    """Ctrl-C came before every configuration had its first round."""


def schedule(configurations: int, rounds: int) -> Iterator[Step]:
    """Yield the steps: A, B, B, A, … traced, each with its control round beside it.

    Every other round runs backwards, so that a drift of the machine favours none.
    """
    for number in range(rounds):
        steps = [
            Step(number, place, traced)
            for place in range(configurations)
            for traced in (True, False)
        ]
        yield from reversed(steps) if number % 2 else steps


def run_experiment(
    experiment: Experiment,
    tracing: Tracing,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Run all rounds and return one measurement a configuration.

    Ctrl-C ends the servers and keeps the rounds that are complete. Raise
    ServerError or CommandError for a server that can't be used, LoadError where
    the client fails, NothingMeasuredError where there is nothing to keep.
    """
    with ExitStack() as stack:
        directory = experiment.record_directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tracer-"))
        )
        directory.mkdir(parents=True, exist_ok=True)
        outcome = _Run(experiment, directory, tracing, progress).complete()
        if not experiment.flame or outcome.interrupted or outcome.failure:
            return outcome
        stacked = take_stacks(experiment, tracing, directory, outcome.measurements, progress)
        return replace(outcome, stacked=stacked)


@dataclass(slots=True)
class _Side:
    """One configuration at work."""

    configuration: Configuration
    recording: Path
    session: Session
    traced: Server
    control: Server
    floor_ns: tuple[int, ...] = ()
    driven: list[Driven] = field(default_factory=list)


class _Run:
    """The state of one experiment while it runs."""

    def __init__(
        self,
        experiment: Experiment,
        directory: Path,
        tracing: Tracing,
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        self.experiment = experiment
        self.directory = directory
        self.tracing = tracing
        self.progress = progress
        self.sides: list[_Side] = []
        self.floors: dict[str, tuple[int, ...]] = {}
        self.interrupted = False
        self.failure: str | None = None

    def complete(self) -> Outcome:
        with ExitStack() as stack:
            self._start(stack)
            for side in self.sides:
                self._warm_up(side)
            self._drive()
            for side in self.sides:
                side.traced.terminate()
                side.control.terminate()
        rounds = min(sum(one.traced for one in side.driven) for side in self.sides)
        if not rounds:
            if self.failure:
                raise ServerError(self.failure, self._last_words())
            raise NothingMeasuredError
        return Outcome(
            tuple(self._measurement(side) for side in self.sides),
            rounds,
            self.interrupted,
            self.failure,
        )

    def _start(self, stack: ExitStack) -> None:
        configurations = self.experiment.configurations
        ports = iter(free_ports(2 * len(configurations)))
        for number, one in enumerate(configurations):
            self._tell(f"starting {one.name}", number, len(configurations))
            path = self.directory / f"{one.name}{self.experiment.suffix}.tracer"
            session = stack.enter_context(self.tracing.open_session(path))
            base = {**os.environ, **one.environment}
            traced, control = (
                stack.enter_context(Server(one.command, environment=variables, port=next(ports)))
                for variables in (session.environment(base), base)
            )
            self.sides.append(_Side(one, path, session, traced, control))
            for server in (traced, control):
                server.wait_ready(
                    self.experiment.load.targets[0],
                    host=dict(self.experiment.load.headers).get("Host"),
                    timeout_s=self.experiment.ready_timeout_s,
                )

    def _warm_up(self, side: _Side) -> None:
        """Bring every worker into its working state and measure the floor in its own way."""
        load, spread = self.experiment.load, self.experiment.spread()
        probe = replace(spread, requests=_PROBE_REQUESTS, concurrency=1, connection=load.connection)
        for server in (side.traced, side.control):
            self._tell(f"warming up {side.configuration.name}", 0, 1)
            self._check_answers(side, server, run_load(on_port(spread, server.port)))
        result = run_load(on_port(probe, side.control.port))
        # A server that closes every connection is compared with an echo that does so too.
        closes = result.connections > len(result.answers) // 2
        mode = "close" if closes else load.connection
        if mode not in self.floors:
            size = result.bytes_received // max(1, len(result.answers))
            floor = replace(probe, connection="close" if closes else load.connection)
            count = self.experiment.floor_requests
            self.floors[mode] = measure_floor(floor, count, answer_bytes=size)
        side.floor_ns = self.floors[mode]
        side.session.sync()

    def _check_answers(self, side: _Side, server: Server, result: LoadResult) -> None:
        if any(not one.failed for one in result.answers):
            return
        statuses = sorted({one.status for one in result.answers if one.status is not None})
        if statuses and self.experiment.include_errors:
            return
        paths = ", ".join(self.experiment.load.targets)
        what = f"was answered {statuses[0]}" if statuses else "got no answer"
        raise ServerError(
            f"every request of {side.configuration.name!r} to {paths} {what}", server.last_lines()
        )

    def _drive(self) -> None:
        steps = list(schedule(len(self.sides), self.experiment.rounds))
        try:
            for number, step in enumerate(steps):
                side = self.sides[step.configuration]
                kind = "traced" if step.traced else "untraced"
                what = f"round {step.round + 1}: {side.configuration.name}, {kind}"
                self._tell(what, number, len(steps))
                if not self._step(step, side):
                    break
            self._tell("done", len(steps), len(steps))
        except KeyboardInterrupt:
            self.interrupted = True

    def _step(self, step: Step, side: _Side) -> bool:
        """Drive one step; False where the server is gone."""
        server = side.traced if step.traced else side.control
        result = run_load(on_port(self.experiment.load, server.port))
        if result.gave_up or not server.alive:
            kind = "traced" if step.traced else "untraced"
            name = side.configuration.name
            self.failure = f"the {kind} server of {name!r} stopped answering"
            return False
        if step.traced:
            side.session.sync()  # its work is done now, not during the next round
        side.driven.append(Driven(step.round, step.traced, result))
        return True

    def _measurement(self, side: _Side) -> Measurement:
        return measurement(
            side.configuration.name,
            side.configuration.shown or side.traced.shown,
            self.tracing.read(side.recording),
            side.driven,
            side.floor_ns,
            include_errors=self.experiment.include_errors,
        )

    def _last_words(self) -> tuple[str, ...]:
        for side in self.sides:
            for server in (side.traced, side.control):
                if repr(side.configuration.name) in (self.failure or ""):
                    return server.last_lines()
        return ()

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)
