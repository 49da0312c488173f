"""Requests as the page has them: the contract's, with names once and instants from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracer.model.layers import HOP_PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.analysis.attribution.request import Handoff, Request, Segment

STATES: Final = ("run", "wait")
CERTAINTIES: Final = ("exact", "bound", "estimate")
COLUMNS: Final = {
    "segment": ["offset_ns", "duration_ns", "owner", "state", "thread", "certainty"],
    "owner": ["layer", "detail", "part", "phase"],
    "hop": [
        "site",
        "direction",
        "offset_ns",
        "event_loop_ns",
        "thread_started",
        "after_response",
        "overlapped",
        "parent",
        *HOP_PHASES,
    ],
}
_PLAIN: Final = (
    "request_id",
    "trace_id",
    "method",
    "route",
    "target",
    "status",
    "interface",
    "server",
    "loop",
    "http",
    "pid",
    "start_unix_ns",
    "start_ns",
    "end_ns",
    "outcome",
    "error_type",
    "kept",
    "window",
    "layers",
    "threads_started",
    "threads_started_after_response",
    "connections_opened",
    "after_response_ns",
    "folded",
)


class Names:
    """Things that are said once and pointed to by their number."""

    def __init__(self) -> None:
        """Begin empty."""
        self.all: list[Any] = []
        self._places: dict[Any, int] = {}

    def place(self, thing: Any) -> int:
        """Return the number of a thing."""
        found = self._places.get(thing)
        if found is None:
            found = self._places[thing] = len(self.all)
            self.all.append(thing)
        return found


class Compact:
    """Makes requests small; all of a page share the tables of owners and sites."""

    def __init__(self) -> None:
        """Begin with empty tables."""
        self.owners, self.sites = Names(), Names()

    def tables(self) -> dict[str, Any]:
        """Return what the numbers in requests point to."""
        return {
            "columns": COLUMNS,
            "states": STATES,
            "certainties": CERTAINTIES,
            "owners": [list(one) for one in self.owners.all],
            "sites": self.sites.all,
        }

    def request(self, request: Request) -> dict[str, Any]:
        """Return a request; `threads` are OS thread ids, pointed to by segments."""
        threads, start = Names(), request.start_ns
        client = request.client
        return {
            **{name: getattr(request, name) for name in _PLAIN},
            "duration_ns": request.duration_ns,
            "client": client
            and {
                "send_ns": client.send_ns - start,
                "first_byte_ns": client.first_byte_ns - start,
                "last_byte_ns": client.last_byte_ns - start,
            },
            "segments": self._segments(request.segments, start, threads),
            "after_response": self._segments(request.after_response, start, threads),
            "overlapped": self._segments(request.overlapped, start, threads),
            "threads": threads.all,
            "hops": [self._hop(hop, start) for hop in request.hops],
        }

    def _segments(
        self, segments: Iterable[Segment], start_ns: int, threads: Names
    ) -> list[list[int | None]]:
        return [
            [
                one.start_ns - start_ns,
                one.end_ns - one.start_ns,
                self.owners.place((one.layer, one.detail, one.part, one.phase)),
                STATES.index(one.state),
                None if one.thread is None else threads.place(one.thread),
                CERTAINTIES.index(one.certainty),
            ]
            for one in segments
        ]

    def _hop(self, hop: Handoff, start_ns: int) -> list[Any]:
        return [
            self.sites.place(hop.site),
            hop.direction,
            hop.start_ns - start_ns,
            hop.event_loop_ns,
            int(hop.thread_started),
            int(hop.after_response),
            int(hop.overlapped),
            hop.parent,
            *(hop.phases.get(phase) for phase in HOP_PHASES),
        ]
