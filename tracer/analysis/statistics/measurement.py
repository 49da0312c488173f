"""What was measured of one configuration: rounds of requests, traced and untraced."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.statistics.tally import Tallies


@dataclass(frozen=True, slots=True)
class SeamStatus:
    """Whether we wrap one attribute of a library, and if not, why."""

    seam: str
    status: Literal["installed", "absent", "refused"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One uninterrupted stretch of load on one configuration.

    `latencies_ns` are the client's (empty where our client did not drive the
    load), `requests` are what the traced server recorded of it (empty in a
    control round). `errors` counts answers of status 500 and above and requests
    without an answer; their latencies are not in `latencies_ns`.
    """

    number: int
    traced: bool
    requests: tuple[Request, ...] = ()
    latencies_ns: tuple[int, ...] = ()
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """All rounds of one configuration and where they were measured.

    `tallies` stand for the requests where those were counted before: the rounds then have
    none, and `median` is the one to show. `counts` say how many requests were seen,
    sampled, kept and lost.
    """

    name: str
    command: str
    environment: dict[str, Any]
    seams: tuple[SeamStatus, ...]
    rounds: tuple[Round, ...]
    network_floor_ns: tuple[int, ...] = ()
    dropped_timelines: int = 0
    notes: tuple[str, ...] = field(default=())
    tallies: Tallies | None = None
    median: Request | None = None
    counts: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every attributed request, in the order of the rounds."""
        return tuple(request for one in self.rounds for request in one.requests)
