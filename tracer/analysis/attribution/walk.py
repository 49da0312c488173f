"""Attribution: from the marks of one request to segments that tile its window.

The main track is causal: it follows the wait. It is walked once from the server's
first touch to the end of the work after the response; what it never reaches ran
beside it and is reported as overlapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.attribution.blame import TURN, Blame, like
from tracer.analysis.attribution.hops import cut, phases
from tracer.analysis.attribution.replay import Replay
from tracer.analysis.attribution.request import Hop, Request, Segment, Thread
from tracer.analysis.attribution.tiling import sum_layers, tile
from tracer.analysis.attribution.track import Bridge, Nested, Piece, Track
from tracer.model import timeline as t
from tracer.model.marks import HARD_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tracer.analysis.attribution.worker import Worker
    from tracer.model.frames import Busy, Head
    from tracer.model.layers import State
    from tracer.model.marks import Mark
    from tracer.model.nametable import Endpoint

_FIELDS: Final = 4
_DEPTH: Final = 200


def attribute(head: Head, marks: Sequence[Mark], worker: Worker, busy: Iterable[Busy]) -> Request:
    """Return the request that a timeline and its worker's occupancy log tell of."""
    view = worker.text(head.view) or ""
    interface = worker.text(head.interface) or "asgi"
    replay = Replay(marks, worker.owner, view, blocking=interface == "wsgi")
    outcome = worker.text(head.outcome) or "cancelled"
    end_ns = window_end(replay, head.start_ns, head.finish_ns, outcome)
    walk = Walk(replay, worker.text, Blame(busy, head.sequence, worker.names))
    segments = walk.main(head.start_ns)
    if len(marks) > HARD_LIMIT:
        # What ran from the last mark on, but one that is always kept, nobody wrote down.
        segments = list(tile(segments, head.start_ns, marks[-2][1]))
    finish_ns = max(replay.root.end_ns or end_ns, end_ns)
    window = tile(segments, head.start_ns, end_ns)
    overlapped = walk.side_tracks(finish_ns)
    threads = replay.instants.get(t.THREAD, [])
    route = worker.text(head.route)
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
        end_ns=end_ns,
        window="server",
        client=None,
        segments=window,
        layers=sum_layers(window),
        hops=walk.hops(end_ns),
        threads_started=len(threads),
        threads_started_after_response=sum(instant >= end_ns for instant in threads),
        connections_opened=len(replay.instants.get(t.CONNECT, [])),
        after_response=tile(segments, end_ns, finish_ns),
        after_response_ns=finish_ns - end_ns,
        overlapped=overlapped,
        seams_absent=worker.seams_absent,
        kept=head.reason,
        weight_known=head.weight_known,
        folded=head.folded,
        **_endpoint(worker.endpoint(head.endpoint)),
        threads=tuple(
            Thread(number, ident, worker.threads.get(number))
            for number, ident in replay.idents.items()
            if number
        ),
        places=worker.places,
    )


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "scheme": endpoint.scheme,
        "server_address": endpoint.address,
        "server_port": endpoint.port,
        "http_version": endpoint.version,
    }


def window_end(replay: Replay, start_ns: int, finish_ns: int, outcome: str) -> int:
    """Return when the last byte went to the kernel, or else when the client was seen gone."""
    last = replay.instant(t.LAST) or replay.instant(t.SENT)
    gone = replay.instant(t.DISCONNECT, last=False)
    if outcome == "disconnected" and gone is not None:
        last = gone
    ended = replay.root.end_ns or finish_ns
    return max(last or gone or ended, start_ns)


class Walk:
    """One walk along the wait, from the root track; then one along what it left out."""

    def __init__(self, replay: Replay, text: Callable[[int], str | None], blame: Blame) -> None:
        """Walk a replayed timeline; `text` gives the name with a number."""
        self._replay = replay
        self._text = text
        self._blame = blame
        self._covered: dict[int, list[tuple[int, int]]] = {}
        self.main_bridges: set[int] = set()
        self._on_main = True
        self._event_loop_ns: dict[int, int] = {}

    def main(self, start_ns: int) -> list[Segment]:
        """Return the segments of the main track, from `start_ns` to its end."""
        root = self._replay.root
        began = root.start_ns
        segments: list[Segment] = []
        if began is None:
            return segments
        read = self._replay.instant(t.READ, last=False)
        if read is not None and read > start_ns:
            thread = root.os_thread
            segments.append(Segment(start_ns, min(read, began), "server", "parse", thread=thread))
            start_ns = min(read, began)
        segments += self._turn(start_ns, began, root.thread)
        segments += self._track(root, began, root.end_ns or began)
        return segments

    def side_tracks(self, until_ns: int) -> tuple[Segment, ...]:
        """Return the segments of every stretch that the main track never waited for."""
        self._on_main = False
        segments: list[Segment] = []
        for track in [*self._replay.tracks.values(), *self._replay.foreign.values()]:
            if track.foreign:
                start, end = 0, until_ns
            elif track.start_ns is not None:
                start, end = track.start_ns, min(track.end_ns or until_ns, until_ns)
            else:
                continue
            for low, high in _complement(self._covered.get(id(track), []), start, end):
                segments += self._track(track, low, high)
        return tuple(segments)

    def hops(self, end_ns: int) -> tuple[Hop, ...]:
        """Return every hand-off, main and overlapped, in the order they began."""
        bridges = sorted(self._replay.bridges, key=lambda bridge: bridge.start_ns)
        index = {id(bridge): number for number, bridge in enumerate(bridges)}
        return tuple(
            Hop(
                site=self.site(bridge),
                direction="to_loop" if bridge.to_loop else "to_thread",
                start_ns=bridge.start_ns,
                phases=phases(bridge, cut(bridge)),
                event_loop_ns=self._event_loop_ns.get(id(bridge), 0),
                thread_started=bridge.thread_started,
                after_response=bridge.start_ns >= end_ns,
                overlapped=id(bridge) not in self.main_bridges,
                parent=index.get(id(bridge.track.parent)),
            )
            for bridge in bridges
        )

    def site(self, bridge: Bridge) -> str:
        """Return who asked for a hand-off, and what ran."""
        return self._text(bridge.site) or "?"

    def _track(self, track: Track, start_ns: int, end_ns: int, depth: int = 0) -> list[Segment]:
        """Return a track's segments within an interval, each in it."""
        segments: list[Segment] = []
        if depth > _DEPTH or start_ns >= end_ns:
            return segments
        self._covered.setdefault(id(track), []).append((start_ns, end_ns))
        for entry in track.entries:
            low, high = max(entry.start_ns, start_ns), min(entry.end_ns, end_ns)
            if low >= high:
                continue
            if isinstance(entry, Nested):
                segments += self._track(entry.track, low, high, depth + 1)
            elif isinstance(entry, Bridge):
                inner = self._hand_off(entry, depth)
                segments += [like(s, max(s.start_ns, low), min(s.end_ns, high)) for s in inner]
            elif entry.awaits is not None:
                segments += self._awaited(entry, entry.awaits, low, high, depth)
            else:
                segments += self._piece(entry, low, high, track.thread)
        return [segment for segment in segments if segment.start_ns < segment.end_ns]

    def _piece(self, piece: Piece, low: int, high: int, thread: int | None) -> list[Segment]:
        owner = piece.owner
        due = min(max(piece.due_ns if piece.due_ns is not None else high, low), high)
        state: State = "wait" if piece.waiting or piece.blocked else "run"
        segments = [Segment(low, due, *owner, state, None if state == "wait" else piece.thread)]
        if due < high:
            idle = "timer granularity" if piece.timer else TURN
            late = Segment(due, high, "event_loop", idle, state="wait")
            segments += self._blame.split(due, high, thread, late)
        return segments

    def _awaited(
        self, piece: Piece, child: Track, low: int, high: int, depth: int
    ) -> list[Segment]:
        """The track waits for one task of its own: that task tiles."""
        if child.start_ns is None:
            return self._piece(piece, low, high, None)
        began = min(max(child.start_ns, low), high)
        ended = min(max(child.end_ns or high, began), high)
        return [
            *self._turn(low, began, child.thread),
            *self._track(child, began, ended, depth + 1),
            *self._turn(ended, high, child.thread),
        ]

    def _turn(self, low: int, high: int, thread: int | None) -> list[Segment]:
        if low >= high:
            return []
        return self._blame.split(
            low, high, thread, Segment(low, high, "event_loop", TURN, state="wait")
        )

    def _hand_off(self, bridge: Bridge, depth: int) -> list[Segment]:
        if self._on_main:
            self.main_bridges.add(id(bridge))
        site = self.site(bridge)
        segments: list[Segment] = []
        run = bridge.run
        for one in cut(bridge):
            if one.phase == "run":
                if run is not None:
                    inner = self._track(run, one.start_ns, one.end_ns, depth + 1)
                    segments += inner
                continue
            on = run if one.phase == "notify" and run is not None else bridge.track
            thread = on.os_thread if one.state == "run" else None
            own = Segment(
                one.start_ns, one.end_ns, "handoff", site, None, one.phase, one.state, thread
            )
            loop = run if bridge.to_loop else bridge.track
            if one.phase == ("wake" if bridge.to_loop else "return") and loop is not None:
                pieces = self._blame.split(one.start_ns, one.end_ns, loop.thread, own)
                lost = sum(p.duration_ns for p in pieces if p.layer == "event_loop")
                self._event_loop_ns[id(bridge)] = lost
                segments += pieces
            else:
                segments.append(own)
        return segments


def _complement(
    covered: list[tuple[int, int]], start_ns: int, end_ns: int
) -> list[tuple[int, int]]:
    """Return the parts of an interval that none of the covered ones has."""
    gaps: list[tuple[int, int]] = []
    cursor = start_ns
    for low, high in sorted(covered):
        if low > cursor:
            gaps.append((cursor, min(low, end_ns)))
        cursor = max(cursor, high)
    if cursor < end_ns:
        gaps.append((cursor, end_ns))
    return [(low, high) for low, high in gaps if low < high]
