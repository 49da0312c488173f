"""What answered requests took, by what OpenTelemetry tells HTTP requests apart by.

Beside durations it keeps a few requests as examples, one for each doubling of duration and
the worst of each layer, since they were last taken: they are what exemplars point to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.analysis.metrics.labels import OVERFLOW, Labels, Names
from tracer.analysis.spans.span_root import Facts, fact_attributes
from tracer.analysis.statistics.spread import FINE_BITS, Buckets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.batch import Batch
    from tracer.analysis.shapes.tally_builder import Row
    from tracer.model.frames import Head

MOST: Final = 2_000
"""So many series; more share one, as the specification of the SDK has it."""

_CONVENTIONS: Final = frozenset(
    {
        *("http.request.method", "http.route", "http.response.status_code", "error.type"),
        *("tracer.interface", "tracer.server"),
    }
)


class Example(NamedTuple):
    """A request that shows a value; ids as integers, the instant it ended in unix time."""

    value_ns: int
    trace_id: int
    span_id: int
    unix_ns: int


@dataclass(slots=True)
class Answered:
    """Requests that are told apart by nothing, by their weights."""

    durations: dict[float, Buckets] = field(default_factory=dict)
    examples: dict[int, Example] = field(default_factory=dict)


@dataclass(slots=True)
class Group:
    """Requests of one route, interface and server: hand-offs by weight, layers' worst."""

    handoffs: dict[float, Buckets] = field(default_factory=dict)
    worst: dict[int, Example] = field(default_factory=dict)


class Answers:
    """Takes rows; its series are bounded, whatever is asked for."""

    def __init__(self, routes: Names, most: int = MOST) -> None:
        """Begin empty; `routes` are the ones that are told apart."""
        self.series: dict[Labels, Answered] = {}
        self.groups: dict[Labels, Group] = {}
        self._routes, self._most = routes, most
        self._known: dict[tuple[int, ...], tuple[Answered, Group]] = {}

    def add(self, rows: Sequence[Row], batch: Batch, workers: Mapping[int, Worker]) -> None:
        """Take a batch and what was concluded of it."""
        for row, head, number in zip(rows, batch.heads, batch.workers, strict=True):
            worker = workers[number]
            answered, group = self._place(head, number, worker)
            weight = row.weight
            _buckets(answered.durations, weight).add(row.duration_ns)
            _buckets(group.handoffs, weight).add(row.handoffs)
            ended_ns = row.start_ns + row.duration_ns + worker.wall_offset_ns
            found = Example(row.duration_ns, row.trace_id, row.request_id, ended_ns)
            answered.examples[row.duration_ns.bit_length()] = found
            for layer, ns in enumerate(row.layers):
                if ns and (layer not in group.worst or ns > group.worst[layer].value_ns):
                    group.worst[layer] = found._replace(value_ns=ns)

    def forget_examples(self) -> None:
        """They were taken: the next ones come from here on."""
        for answered in self.series.values():
            answered.examples.clear()
        for group in self.groups.values():
            group.worst.clear()

    def _place(self, head: Head, number: int, worker: Worker) -> tuple[Answered, Group]:
        numbers = (head.method, head.route, head.status, head.outcome, head.error_type)
        key = (number, *numbers, head.interface, head.server)
        known = self._known.get(key)
        if known is None:
            if len(self._known) > self._most:
                self._known.clear()
            known = self._known[key] = self._find(head, worker)
        return known

    def _find(self, head: Head, worker: Worker) -> tuple[Answered, Group]:
        text = worker.text
        route, interface = self._routes(text(head.route)), text(head.interface) or "asgi"
        server = text(head.server) or ""
        facts = Facts(
            text(head.method) or "",
            route,
            None,
            head.status or None,
            text(head.outcome) or "cancelled",
            text(head.error_type),
            interface,
            server,
            None,
            None,
            None,
            "",
        )
        labels: Labels = tuple(
            (name, value) for name, value in fact_attributes(facts) if name in _CONVENTIONS
        )
        if labels not in self.series and len(self.series) >= self._most:
            labels = OVERFLOW
        group = group_labels(route, interface, server)
        return (
            self.series.setdefault(labels, Answered()),
            self.groups.setdefault(group, Group()),
        )


def group_labels(route: str | None, interface: str, server: str) -> Labels:
    """Return what requests of a route, an interface and a server are told apart by."""
    known = (("http.route", route),) if route is not None else ()
    return (*known, ("tracer.interface", interface), ("tracer.server", server))


def _buckets(by_weight: dict[float, Buckets], weight: float) -> Buckets:
    found = by_weight.get(weight)
    if found is None:
        found = by_weight[weight] = Buckets(FINE_BITS)
    return found
