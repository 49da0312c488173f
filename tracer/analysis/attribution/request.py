"""One attributed request: what every report, comparison and finding is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tracer.model.layers import Certainty, Layer, State
    from tracer.model.nametable import CodeLocation

SCHEMA = "tracer.request/1"
TO_THREAD: Final = "to_thread"
TO_LOOP: Final = "to_loop"


@dataclass(frozen=True, slots=True)
class Segment:
    """A half-open interval `[start_ns, end_ns)` with exactly one owner.

    `preempted_on` is the thread on which others may have taken its time, where nobody has
    looked yet whether they did; it isn't in JSON.
    """

    start_ns: int
    end_ns: int
    layer: Layer
    detail: str | None = None
    part: str | None = None
    phase: str | None = None
    state: State = "run"
    thread: int | None = None
    certainty: Certainty = "exact"
    preempted_on: int | None = None

    @property
    def duration_ns(self) -> int:
        """Length in nanoseconds."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Handoff:
    """One hand-off there and back. `phases` are gross; an unobservable one is None."""

    site: str
    direction: str
    start_ns: int
    phases: dict[str, int | None]
    event_loop_ns: int
    thread_started: bool
    after_response: bool
    overlapped: bool
    parent: int | None

    @property
    def to_loop(self) -> bool:
        """Whether a thread handed something to the loop, not the loop to a thread."""
        return self.direction == TO_LOOP

    @property
    def counts(self) -> bool:
        """Whether it is one of those that a request is said to have: to a thread, in its window."""
        return not self.to_loop and not self.after_response

    @property
    def end_ns(self) -> int:
        """When it was over: its phases tile it."""
        return self.start_ns + sum(ns or 0 for ns in self.phases.values())

    @property
    def cost_ns(self) -> int:
        """What it took beyond its work and beyond what the loop owned of it."""
        phases = sum(ns or 0 for name, ns in self.phases.items() if name != "run")
        return max(0, phases - self.event_loop_ns)


class Counts(NamedTuple):
    """How many hand-offs, threads and connections a request had."""

    handoffs: int
    to_loop: int
    handoffs_after: int
    threads: int
    threads_after: int
    connections: int

    @classmethod
    def of(
        cls, handoffs: Sequence[Handoff], threads: int, threads_after: int, connections: int
    ) -> Self:
        """Count hand-offs; the others are counted already."""
        return cls(
            sum(one.counts for one in handoffs),
            sum(one.to_loop and not one.after_response for one in handoffs),
            sum(one.after_response and not one.to_loop for one in handoffs),
            threads,
            threads_after,
            connections,
        )


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread that ran something of the request.

    `thread` is what the kernel knows it as, `ident` what Python does; `name` is None for
    one that doesn't live on.
    """

    thread: int
    ident: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """What our load client saw, on the clock it shares with the server.

    `own_delay_ns` is how long the answer lay in the client's socket before the
    client read it: its own lateness, measured, not the server's.
    """

    send_ns: int
    first_byte_ns: int
    last_byte_ns: int
    own_delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the contract's `tracer.request/1` describes it.

    Where nobody knows how many requests this one stands for, `weight` is 1 for
    those who add them up, and null in JSON. `kept` is why it is recorded, `folded` how
    many marks past the limit are none of their own. `places` says where code stands, by
    its name; it isn't in JSON.
    """

    request_id: str
    trace_id: str
    parent_span_id: str | None
    method: str
    route: str | None
    target: str | None
    status: int | None
    interface: str
    server: str
    loop: str | None
    http: str | None
    pid: int
    connection: str
    boot_id: str
    start_unix_ns: int
    weight: float
    outcome: str
    error_type: str | None
    start_ns: int
    end_ns: int
    window: str
    client: Client | None
    segments: tuple[Segment, ...]
    layers: dict[str, int]
    hops: tuple[Handoff, ...]
    threads_started: int
    threads_started_after_response: int
    connections_opened: int
    after_response: tuple[Segment, ...]
    after_response_ns: int
    overlapped: tuple[Segment, ...]
    seams_absent: tuple[str, ...] = field(default=())
    kept: str = "rate"
    weight_known: bool = True
    folded: int = 0
    scheme: str | None = None
    server_address: str | None = None
    server_port: int | None = None
    http_version: str | None = None
    threads: tuple[Thread, ...] = ()
    places: Mapping[str, CodeLocation] = field(default_factory=dict)

    @property
    def duration_ns(self) -> int:
        """Length of the window in nanoseconds."""
        return self.end_ns - self.start_ns

    def to_json(self) -> dict[str, Any]:
        """Return the contract's object, ready for `json.dumps`."""
        document: dict[str, Any] = {"schema": SCHEMA}
        for name in self.__slots__:
            if name == "places":
                continue
            value = getattr(self, name)
            if name in _SEGMENT_LISTS:
                value = [_plain(item) for item in value]
            elif name == "client" and value is not None:
                value = {
                    "send_ns": value.send_ns,
                    "first_byte_ns": value.first_byte_ns,
                    "last_byte_ns": value.last_byte_ns,
                }
            elif name == "seams_absent":
                value = list(value)
            elif name == "weight" and not self.weight_known:
                value = None
            document[name] = value
        return document


_SEGMENT_LISTS = frozenset({"segments", "after_response", "overlapped", "hops", "threads"})


def _plain(item: Segment | Handoff | Thread) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__slots__ if name != "preempted_on"}
