"""The walk along a request's wait: what was done on its behalf, and what it waited for.

The main track is causal: it follows the wait. It is walked once from the server's
first touch to the end of the work after the response; what it never reaches
is reported as overlapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.analysis.attribution.blame import TURN, Blame, like
from tracer.analysis.attribution.handoff import loop_wait, phase_durations, phase_segments
from tracer.analysis.attribution.request import TO_LOOP, TO_THREAD, Handoff, Segment
from tracer.analysis.attribution.track import HandoffMarks, Nested, Piece, Track
from tracer.model import timeline as t

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.analysis.attribution.replay import Replay
    from tracer.model.layers import State

_DEPTH: Final = 200


class Walk:
    """One walk along the wait, from the root track; then one along what it left out."""

    def __init__(self, replay: Replay, text: Callable[[int], str | None], blame: Blame) -> None:
        """Walk a replayed timeline; `text` gives the name with a number."""
        self._replay = replay
        self._text = text
        self._blame = blame
        self._covered: dict[int, list[tuple[int, int]]] = {}
        self._phases: dict[int, list[Segment]] = {}
        self._on_main_track: set[int] = set()
        self._on_main = True
        self._loop_waits: dict[int, list[Segment]] = {}

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

    def handoffs(self, end_ns: int) -> tuple[Handoff, ...]:
        """Return every hand-off, main and overlapped, in the order they began."""
        every = self._replay.handoffs
        number_of = {id(one): number for number, one in enumerate(every)}
        return tuple(
            Handoff(
                site=self._site(one),
                direction=TO_LOOP if one.to_loop else TO_THREAD,
                start_ns=one.start_ns,
                phases=phase_durations(one, self.phases(one)),
                event_loop_ns=sum(
                    part.duration_ns for part in self.loop_wait(one) if part.layer == "event_loop"
                ),
                thread_started=one.thread_started,
                after_response=one.start_ns >= end_ns,
                overlapped=id(one) not in self._on_main_track,
                parent=number_of.get(id(one.track.parent)),
            )
            for one in every
        )

    def phases(self, handoff: HandoffMarks) -> list[Segment]:
        """Return a hand-off's phases in order of time."""
        found = self._phases.get(id(handoff))
        if found is None:
            found = self._phases[id(handoff)] = phase_segments(handoff, self._site(handoff))
        return found

    def loop_wait(self, handoff: HandoffMarks) -> list[Segment]:
        """Return the phase in which a hand-off waited for the loop, in parts by whose it was."""
        return self._loop_waits.get(id(handoff), [])

    def _site(self, handoff: HandoffMarks) -> str:
        """Return who asked for a hand-off, and what ran."""
        return self._text(handoff.site) or "?"

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
            elif isinstance(entry, HandoffMarks):
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

    def _hand_off(self, handoff: HandoffMarks, depth: int) -> list[Segment]:
        if self._on_main:
            self._on_main_track.add(id(handoff))
        segments: list[Segment] = []
        waiting, loop = loop_wait(handoff)
        for one in self.phases(handoff):
            if one.phase == "run":
                if handoff.run is not None:
                    segments += self._track(handoff.run, one.start_ns, one.end_ns, depth + 1)
            elif one.phase == waiting and loop is not None:
                parts = self._blame.split(one.start_ns, one.end_ns, loop.thread, one)
                self._loop_waits[id(handoff)] = parts
                segments += parts
            else:
                segments.append(one)
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
