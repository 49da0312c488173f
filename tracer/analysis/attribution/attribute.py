"""Attribution: from the marks of one request to segments that tile its window.

The marks are replayed, the wait is walked along, hand-offs are cut into their phases, what
others ran meanwhile is blamed on them, and the result is tiled. Whoever attributes does it
by this one driver, whatever instants are counted in.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tracer.analysis.attribution.blame import Blame
from tracer.analysis.attribution.replay import Replay
from tracer.analysis.attribution.request import Counts, Request, Thread
from tracer.analysis.attribution.tiling import sum_layers, tile
from tracer.analysis.attribution.walk import Walk
from tracer.model import timeline as t
from tracer.model.marks import HARD_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracer.analysis.attribution.request import Handoff, Segment
    from tracer.analysis.attribution.worker import Worker
    from tracer.model.frames import Busy, Head
    from tracer.model.layers import Owner
    from tracer.model.marks import Mark


class Names(Protocol):
    """A table of names, by the numbers that marks have for them."""

    def text(self, number: int) -> str | None:
        """Return the text with a number."""

    def owner(self, number: int) -> Owner:
        """Return the owner with a number."""


class RequestMarks(NamedTuple):
    """A request's marks, and what else decides who owned what.

    Instants are nanoseconds, or places in an order; attribution only compares them.
    """

    marks: Sequence[Mark]
    start_ns: int
    finish_ns: int
    view: str
    blocking: bool
    outcome: str


class Attribution:
    """Who owned what in one request; parts that not everybody asks for are made when asked for."""

    def __init__(self, request: RequestMarks, names: Names, blame: Blame) -> None:
        """Attribute a request; `blame` knows what others ran meanwhile."""
        marks, start_ns, finish_ns, view, blocking, outcome = request
        self.start_ns = start_ns
        self.replay = Replay(marks, names.owner, view, blocking=blocking)
        self.end_ns = _window_end(self.replay, start_ns, finish_ns, outcome)
        self.finish_ns = max(self.replay.root.end_ns or self.end_ns, self.end_ns)
        self.walk = Walk(self.replay, names.text, blame)
        self._main: Sequence[Segment] = self.walk.main(start_ns)
        if len(marks) > HARD_LIMIT:
            # What ran from the last mark on, but one that is always kept, nobody wrote down.
            self._main = tile(self._main, start_ns, marks[-2][1])

    @cached_property
    def window(self) -> tuple[Segment, ...]:
        """The segments that tile the window."""
        return tile(self._main, self.start_ns, self.end_ns)

    @cached_property
    def after_response(self) -> tuple[Segment, ...]:
        """The segments from the end of the window to the end of all work."""
        return tile(self._main, self.end_ns, self.finish_ns)

    @cached_property
    def overlapped(self) -> tuple[Segment, ...]:
        """The segments of what nobody waited for."""
        return self.walk.side_tracks(self.finish_ns)

    @cached_property
    def handoffs(self) -> tuple[Handoff, ...]:
        """All hand-offs in the order they began."""
        _ = self.overlapped  # those of side tracks have been met then
        return self.walk.handoffs(self.end_ns)

    @property
    def counts(self) -> Counts:
        """How many of each there were."""
        threads = self.replay.instants.get(t.THREAD, [])
        return Counts.of(
            self.handoffs,
            len(threads),
            sum(instant >= self.end_ns for instant in threads),
            len(self.replay.instants.get(t.CONNECT, [])),
        )


def attribute(head: Head, marks: Sequence[Mark], worker: Worker, busy: Iterable[Busy]) -> Request:
    """Return the request of a timeline and its worker's occupancy log."""
    view = worker.text(head.view) or ""
    interface = worker.text(head.interface) or "asgi"
    outcome = worker.text(head.outcome) or "cancelled"
    found = Attribution(
        RequestMarks(marks, head.start_ns, head.finish_ns, view, interface == "wsgi", outcome),
        worker,
        Blame(busy, head.sequence, worker.names),
    )
    route = worker.text(head.route)
    endpoint, counts = worker.endpoint(head.endpoint), found.counts
    return Request(
        request_id=f"{head.request_id:016x}",
        trace_id=f"{head.trace_id:032x}",
        parent_span_id=None if head.parent_span_id is None else f"{head.parent_span_id:016x}",
        method=worker.text(head.method) or "",
        route=route,
        target=head.path or route,
        status=head.status or None,
        interface=interface,
        server=worker.text(head.server) or "",
        loop=worker.text(head.loop),
        http=worker.text(head.http),
        pid=worker.pid,
        connection=f"{worker.pid}-{head.connection}",
        boot_id=worker.boot_id,
        start_unix_ns=head.start_ns + worker.wall_offset_ns,
        weight=head.weight if head.weight_known else 1.0,
        outcome=outcome,
        error_type=worker.text(head.error_type),
        start_ns=head.start_ns,
        end_ns=found.end_ns,
        window="server",
        client=None,
        segments=found.window,
        layers=sum_layers(found.window),
        hops=found.handoffs,
        threads_started=counts.threads,
        threads_started_after_response=counts.threads_after,
        connections_opened=counts.connections,
        after_response=found.after_response,
        after_response_ns=found.finish_ns - found.end_ns,
        overlapped=found.overlapped,
        seams_absent=worker.seams_absent,
        kept=head.reason,
        weight_known=head.weight_known,
        folded=head.folded,
        scheme=endpoint.scheme,
        server_address=endpoint.address,
        server_port=endpoint.port,
        http_version=endpoint.version,
        threads=tuple(
            Thread(number, ident, worker.threads.get(number))
            for number, ident in found.replay.idents.items()
            if number
        ),
        places=worker.places,
    )


def _window_end(replay: Replay, start_ns: int, finish_ns: int, outcome: str) -> int:
    """Return when the last byte went to the kernel, or else when the client was seen gone."""
    last = replay.instant(t.LAST) or replay.instant(t.SENT)
    gone = replay.instant(t.DISCONNECT, last=False)
    if outcome == "disconnected" and gone is not None:
        last = gone
    ended = replay.root.end_ns or finish_ns
    return max(last or gone or ended, start_ns)
