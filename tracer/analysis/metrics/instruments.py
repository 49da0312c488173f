"""Tallies and answers as series of metrics: what is exported, by which name, in which unit.

All of them are cumulative and only grow. `docs/metrics.md` explains each; a test holds the
two against each other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.metrics.durations import group_labels
from tracer.analysis.statistics.exponential import Exponential, exponential
from tracer.model.layers import HOP_PHASES, LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tracer.analysis.metrics.durations import Answers, Example
    from tracer.analysis.metrics.labels import Labels, Names
    from tracer.analysis.statistics.tally import Key, Tally

    Members = list[tuple[Tally, float]]

_SECOND: Final = 1_000_000_000
_PHASES: Final[tuple[str, ...]] = HOP_PHASES


class Instrument(NamedTuple):
    """A metric apart from its figures; `spreads` says that it is a histogram."""

    name: str
    unit: str
    description: str
    spreads: bool


REQUEST: Final = Instrument(
    "http.server.request.duration",
    "s",
    "How long requests took, first touch to last byte.",
    spreads=True,
)
LAYER: Final = Instrument(
    "tracer.layer.duration", "s", "What a layer owned of a request's duration.", spreads=True
)
HANDOFFS: Final = Instrument(
    "tracer.request.handoffs", "{handoff}", "Hand-offs to a thread within a request.", spreads=True
)
WAKE: Final = Instrument(
    "tracer.handoff.wake.duration", "s", "From queued until a thread took it up.", spreads=True
)
QUEUE: Final = Instrument(
    "tracer.handoff.queue.duration", "s", "Waiting while the thread pool was busy.", spreads=True
)
LAG: Final = Instrument(
    "tracer.event_loop.lag",
    "s",
    "From a thread's result until the loop turned to it.",
    spreads=True,
)
SITE_COUNT: Final = Instrument("tracer.handoffs", "{handoff}", "Hand-offs, by site.", spreads=False)
SITE_TIME: Final = Instrument(
    "tracer.handoff.time",
    "s",
    "What hand-offs owned of requests, by site and phase.",
    spreads=False,
)
BLOCKER_TIME: Final = Instrument(
    "tracer.event_loop.time", "s", "What requests waited for their loop, by culprit.", spreads=False
)
THREADS: Final = Instrument(
    "tracer.threads.started", "{thread}", "Threads started on behalf of requests.", spreads=False
)
SEEN: Final = Instrument(
    "tracer.requests.seen",
    "{request}",
    "Requests that workers saw, recorded or not.",
    spreads=False,
)
RECORDED: Final = Instrument(
    "tracer.requests.recorded",
    "{request}",
    "Requests that these metrics are made of.",
    spreads=False,
)
DROPPED: Final = Instrument(
    "tracer.timelines.dropped",
    "{timeline}",
    "Recorded requests lost on their way here.",
    spreads=False,
)
INSTRUMENTS: Final = (
    REQUEST, LAYER, HANDOFFS, WAKE, QUEUE, LAG, SITE_COUNT, SITE_TIME, BLOCKER_TIME, THREADS,
    SEEN, RECORDED, DROPPED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """One series: a histogram or a number, and requests that show it."""

    labels: Labels
    value: Exponential | int | float
    examples: tuple[Example, ...] = ()


class Bounds(NamedTuple):
    """Names that are told apart, each kind up to its own bound."""

    routes: Names
    sites: Names
    blockers: Names


def measured(
    tallies: Mapping[Key, Tally], answers: Answers, bounds: Bounds
) -> dict[Instrument, list[Series]]:
    """Return all series that follow from requests."""
    groups: dict[Labels, Members] = defaultdict(list)
    servers: dict[Labels, Members] = defaultdict(list)
    for key, one in tallies.items():
        groups[group_labels(bounds.routes(key.route), key.interface, key.server)].append(
            (one, key.weight)
        )
        servers[group_labels(None, key.interface, key.server)].append((one, key.weight))
    found: dict[Instrument, list[Series]] = defaultdict(list)
    for labels, answered in answers.series.items():
        value = exponential(((one, w) for w, one in answered.durations.items()), _SECOND)
        found[REQUEST].append(Series(labels, value, _in_time(answered.examples.values())))
    for labels, group in answers.groups.items():
        value = exponential(((one, w) for w, one in group.handoffs.items()), 1)
        found[HANDOFFS].append(Series(labels, value))
    for labels, members in groups.items():
        _add_group(found, labels, members, answers)
    for labels, members in servers.items():
        _add_server(found, labels, members, bounds)
    return found


def _add_group(
    found: dict[Instrument, list[Series]], labels: Labels, members: Members, answers: Answers
) -> None:
    group = answers.groups.get(labels)
    for place, layer in enumerate(LAYERS):
        value = exponential(((one.layers[place], w) for one, w in members), _SECOND)
        if value.counts:
            shown = group.worst.get(place) if group is not None else None
            examples = (shown,) if shown is not None else ()
            found[LAYER].append(Series((*labels, ("tracer.layer", layer)), value, examples))
    for instrument, phase in ((WAKE, "wake"), (QUEUE, "queue"), (LAG, "return")):
        place = _PHASES.index(phase)
        value = exponential(((one.phases[place], w) for one, w in members), _SECOND)
        if value.count:
            found[instrument].append(Series(labels, value))
    within = math.fsum((one.threads - one.threads_after) * weight for one, weight in members)
    after = math.fsum(one.threads_after * weight for one, weight in members)
    for is_after, count in ((False, within), (True, after)):
        if count:
            more = ("tracer.after_response", is_after)
            found[THREADS].append(Series((*labels, more), round(count)))


def _add_server(
    found: dict[Instrument, list[Series]], labels: Labels, members: Members, bounds: Bounds
) -> None:
    hops: dict[Labels, float] = defaultdict(float)
    spent: dict[Instrument, dict[Labels, float]] = {
        SITE_TIME: defaultdict(float),
        BLOCKER_TIME: defaultdict(float),
    }
    for one, weight in members:
        for site, seen in one.sites.items():
            name = _said("tracer.handoff.site", bounds.sites(site.name))
            direction = ("tracer.handoff.direction", site.direction)
            after = ("tracer.after_response", site.after_response)
            hops[*name, direction, after] += seen.count * weight
        for owner, (ns, _) in one.details.items():
            if owner.layer == "handoff":
                name = _said("tracer.handoff.site", bounds.sites(owner.detail))
                phase = _said("tracer.handoff.phase", owner.phase)
                spent[SITE_TIME][*name, *phase] += ns * weight
            elif owner.layer == "event_loop":
                blocker = _said("tracer.event_loop.culprit", bounds.blockers(owner.detail))
                spent[BLOCKER_TIME][blocker] += ns * weight
    found[SITE_COUNT] += [Series((*labels, *more), round(n)) for more, n in hops.items()]
    for instrument, by_name in spent.items():
        found[instrument] += [
            Series((*labels, *more), ns / _SECOND) for more, ns in by_name.items()
        ]
    count = sum(one.requests for one, _ in members)
    found[RECORDED].append(Series(labels, count))


def _said(name: str, value: str | None) -> Labels:
    return ((name, value),) if value is not None else ()


def _in_time(examples: Iterable[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda one: one.unix_ns))
