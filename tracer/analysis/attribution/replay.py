"""Marks to tracks: who ran in which task or thread, and what each track waited for.

Replaying the marks in order of time gives each track its entries: runs and waits with
their owner, hand-offs, and tracks that ran on top of it in the same thread (eager
tasks).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.analysis.attribution.garbage import collecting
from tracer.analysis.attribution.order import in_order
from tracer.analysis.attribution.threads import Threads
from tracer.analysis.attribution.track import HandoffMarks, Piece, Track
from tracer.model import timeline as t
from tracer.model.layers import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracer.model.marks import Mark

    Action = Callable[["Replay", int, int, int], None]

_SERVER: Final = Owner("server")
_GC: Final = -1 << 40
_actions: dict[int, Action] = {}


def _on(*codes: int) -> Callable[[Action], Action]:
    """Have a method called for the marks of these codes: `(instant, thread, value)`."""

    def register(action: Action) -> Action:
        _actions.update(dict.fromkeys(codes, action))
        return action

    return register


class Replay(Threads):
    """The outcome of replaying one timeline's marks."""

    def __init__(
        self,
        marks: Sequence[Mark],
        owner_of: Callable[[int], Owner],
        view: str,
        *,
        blocking: bool,
    ) -> None:
        """Replay `marks`; `owner_of` gives the owner with a number, `view` the view's path.

        `blocking`: the server reads by blocking calls, so that reading is waiting.
        """
        super().__init__(owner_of, view, blocking=blocking)
        self.root = Track(t.ROOT, _SERVER)
        self.handoffs: list[HandoffMarks] = []
        self.tracks: dict[int, Track] = {t.ROOT: self.root}
        self.instants: dict[int, list[int]] = {}
        self._yielded: dict[int, Track] = {}
        self._submitted_by: dict[int, HandoffMarks] = {}
        self._pending_task: dict[int, int] = {}
        self._ready: dict[int, int] = {}
        self._due: dict[int, int] = {}
        self._streams: dict[int, Owner] = {}
        ordered = in_order(marks)
        self._run_on = ordered.run_on
        self._timers = ordered.timers
        for mark in ordered.marks:
            self._apply(*mark)
        self._finish(ordered.marks[-1][1] if ordered.marks else 0)

    def instant(self, code: int, *, last: bool = True) -> int | None:
        """Return when a mark of `code` was made, the last or the first one."""
        found = self.instants.get(code)
        return found[-1 if last else 0] if found else None

    def _apply(self, code: int, instant: int, thread: int, value: int) -> None:
        action = _actions.get(code)
        if action is not None:
            action(self, instant, thread, value)
        else:
            self.instants.setdefault(code, []).append(instant)

    @_on(t.ENTER)
    def _entered(self, instant: int, thread: int, value: int) -> None:
        self._push(instant, thread, value, self._owner_of(value))

    @_on(t.EXIT)
    def _left(self, instant: int, thread: int, value: int) -> None:
        self._pop(instant, thread, value)

    @_on(t.TASK)
    def _task(self, _instant: int, thread: int, value: int) -> None:
        self._pending_task[thread] = value

    @_on(t.STEP)
    def _step(self, instant: int, thread: int, value: int) -> None:
        track = self.tracks.setdefault(value, Track(value, self._top(thread).base))
        if track.start_ns is None and thread in self._pending_task:
            track.task = self._pending_task.pop(thread)
        wait, track.wait = track.wait, None
        if wait is not None:
            wait.end_ns = instant
            ready = self._ready.get(track.task, 0)
            if ready >= wait.start_ns:
                wait.timer = wait.due_ns is not None and wait.due_ns <= ready
                wait.due_ns = ready if wait.due_ns is None else min(ready, wait.due_ns)
            elif wait.timer:
                wait.due_ns, wait.timer = None, False
        for handoff in track.open:
            handoff.steps.append(instant)
        self._begin(track, instant, thread)

    @_on(t.YIELD)
    def _yield(self, instant: int, thread: int, value: int) -> None:
        track = self._top(thread)
        if track.foreign:
            return
        owner = track.owner
        self._end(instant, thread, track)
        if not track.open:
            due = self._due.get(value)
            track.wait = Piece(
                instant, instant, owner, None, waiting=True, due_ns=due, timer=due is not None
            )
            track.entries.append(track.wait)
        self._yielded[thread] = track

    @_on(t.AWAITS)
    def _awaits(self, _instant: int, thread: int, value: int) -> None:
        track = self._yielded.get(thread)
        if track is not None and track.wait is not None:
            track.wait.awaits = self.tracks.get(value)

    @_on(t.DONE, t.RAN)
    def _done(self, instant: int, thread: int, value: int) -> None:
        track = self.tracks.get(value)
        if track is None:
            return
        self._end(instant, thread, track)
        track.end_ns = instant

    @_on(t.SPAWN)
    def _spawn(self, _instant: int, thread: int, value: int) -> None:
        spawner = self._top(thread)
        self.tracks[value] = Track(value, spawner.owner, parent=spawner.parent)

    @_on(t.READY)
    def _made_ready(self, instant: int, _thread: int, value: int) -> None:
        self._ready[value] = instant

    @_on(t.TIMER)
    def _timer(self, instant: int, thread: int, value: int) -> None:
        due = self._timers.get((t.TIMER, instant, thread, value))
        if due is not None:
            self._due[value] = due

    @_on(t.HOP)
    def _hop(self, instant: int, thread: int, value: int) -> None:
        self._open_handoff(instant, thread, value, to_loop=False)

    @_on(t.CALL)
    def _call(self, instant: int, thread: int, value: int) -> None:
        self._open_handoff(instant, thread, value, to_loop=True)

    def _open_handoff(self, instant: int, thread: int, site: int, *, to_loop: bool) -> None:
        track = self._top(thread)
        self._account(track, instant)
        handoff = HandoffMarks(site, to_loop, instant, track.owner, track)
        track.open.append(handoff)
        track.entries.append(handoff)
        self.handoffs.append(handoff)

    @_on(t.HOP_END, t.CALL_END)
    def _close_handoff(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if track.open:
            track.open.pop().end_ns = instant
            track.cursor = instant

    @_on(t.SUBMIT)
    def _submit(self, instant: int, thread: int, value: int) -> None:
        track = self._top(thread)
        if track.open and not track.open[-1].to_loop:
            handoff = self._submitted_by[value] = track.open[-1]
            handoff.submit_ns = instant

    @_on(t.SUBMITTED)
    def _submitted(self, instant: int, _thread: int, value: int) -> None:
        if value in self._submitted_by:
            self._submitted_by[value].submitted_ns = instant

    @_on(t.RUN)
    def _run(self, instant: int, thread: int, value: int) -> None:
        """A hand-off's function begins; a track below it waits in `async_to_sync`."""
        handoff = self._submitted_by.get(value)
        track = Track(value, handoff.owner if handoff else Owner("unattributed"), parent=handoff)
        free, os_thread = self._run_on.get(value, (0, 0))
        self.tracks[value] = track
        if handoff is not None:
            handoff.run, handoff.free_ns = track, free
        track.os_thread = os_thread
        self._is_of_kernel(thread, os_thread)
        self._active.setdefault(thread, []).append(track)
        track.thread, track.start_ns, track.cursor = thread, instant, instant

    @_on(t.BEGUN)
    def _begun(self, instant: int, _thread: int, value: int) -> None:
        """What asgiref did before it called the function is the hand-off's, not its run's."""
        track = self.tracks.get(value)
        if track is not None and not track.entries and not track.frames:
            track.start_ns = track.cursor = instant

    @_on(t.NOTIFIED)
    def _notified(self, instant: int, _thread: int, value: int) -> None:
        if value in self._submitted_by:
            self._submitted_by[value].notified_ns = instant

    @_on(t.CALL_SUBMIT)
    def _call_submit(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if track.open and track.open[-1].to_loop:
            track.open[-1].submit_ns = instant

    @_on(t.CALL_SUBMITTED)
    def _call_submitted(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if track.open and track.open[-1].to_loop:
            track.open[-1].submitted_ns = instant

    @_on(t.BRIDGE)
    def _bridge(self, _instant: int, thread: int, value: int) -> None:
        caller = self._top(thread)
        if caller.open and caller.open[-1].to_loop:
            call = caller.open[-1]
            call.run = self.tracks[value] = Track(value, call.owner, parent=call)

    @_on(t.THREAD)
    def _thread_started(self, instant: int, thread: int, _value: int) -> None:
        self.instants.setdefault(t.THREAD, []).append(instant)
        track = self._top(thread)
        if track.open:
            track.open[-1].thread_started = True

    @_on(t.QUEUED)
    def _queued(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if 0 < track.cursor < instant:  # at 0 it has not begun
            owner = Owner("server", "thread queue")
            track.entries.append(Piece(track.cursor, instant, owner, None, blocked=True))
        track.cursor = max(track.cursor, instant)

    @_on(t.OS_THREAD)
    def _os_thread(self, _instant: int, thread: int, value: int) -> None:
        self._is_of_kernel(thread, value)
        stack = self._active.get(thread)
        if stack:
            stack[-1].os_thread = value

    @_on(t.STREAM)
    def _stream(self, _instant: int, thread: int, value: int) -> None:
        owner = self._top(thread).owner
        if owner.layer in ("server", "unattributed"):
            owner = Owner("view", self._view or None)
        self._streams[value] = owner._replace(part="stream", phase=None)

    @_on(t.PULL)
    def _pull(self, instant: int, thread: int, value: int) -> None:
        owner = self._streams.get(value, Owner("view", self._view or None, "stream"))
        self._push(instant, thread, -value, owner)

    @_on(t.PULLED)
    def _pulled(self, instant: int, thread: int, value: int) -> None:
        self._pop(instant, thread, -value)

    @_on(t.PAUSE)
    def _pause(self, instant: int, thread: int, _value: int) -> None:
        self._push(instant, thread, _GC, collecting(self._top(thread).owner))

    @_on(t.PAUSE_END)
    def _pause_end(self, instant: int, thread: int, _value: int) -> None:
        self._pop(instant, thread, _GC)

    def _finish(self, instant: int) -> None:
        """End what a truncated timeline left open."""
        for thread, stack in self._active.items():
            while stack:
                self._end(instant, thread, stack[-1])
        for track in self.tracks.values():
            if track.wait is not None:
                track.wait.end_ns = instant
                track.wait.timer = False
            if track.start_ns is not None and track.end_ns is None:
                track.end_ns = max(instant, track.start_ns)
        for handoff in self.handoffs:
            if not handoff.end_ns:
                handoff.end_ns = max(instant, handoff.start_ns)
