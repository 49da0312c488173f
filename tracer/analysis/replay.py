"""Marks to tracks: who ran in which task or thread, and what each track waited for.

A track is a task, the stretch of a thread that a hand-off ran in, or the thread in
which the server calls the application. Replaying the marks in order of time gives
each track its entries: runs and waits with their owner, hand-offs, and tracks that
ran on top of it in the same thread (eager tasks).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from tracer import timeline as t
from tracer.layers import Layer, Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tracer.timeline import Mark

_SERVER: Final = Owner("server")


@dataclass(slots=True, eq=False)
class Piece:
    """A stretch in which a track ran, or waited for nothing we can follow."""

    start_ns: int
    end_ns: int
    owner: Owner
    thread: int | None
    waiting: bool = False
    blocked: bool = False
    due_ns: int | None = None
    timer: bool = False
    awaits: Track | None = None


@dataclass(slots=True, eq=False)
class Bridge:
    """A hand-off as marked: `sync_to_async` (`to_loop` false) or `async_to_sync`."""

    site: int
    to_loop: bool
    start_ns: int
    owner: Owner
    track: Track
    end_ns: int = 0
    submit_ns: int | None = None
    submitted_ns: int | None = None
    notified_ns: int | None = None
    free_ns: int = 0
    steps: list[int] = field(default_factory=list)
    run: Track | None = None
    thread_started: bool = False


@dataclass(slots=True, eq=False)
class Nested:
    """A step of another track that ran on top of this one, in the same thread."""

    start_ns: int
    end_ns: int
    track: Track


@dataclass(slots=True, eq=False)
class Track:
    """One task or thread of a request, and what it did."""

    number: int
    base: Owner
    parent: Bridge | None = None
    foreign: bool = False
    entries: list[Piece | Bridge | Nested] = field(default_factory=list)
    start_ns: int | None = None
    end_ns: int | None = None
    ready_ns: int | None = None
    thread: int | None = None
    os_thread: int | None = None
    frames: list[tuple[int, Owner]] = field(default_factory=list)
    open: list[Bridge] = field(default_factory=list)
    cursor: int = 0
    task: int = 0
    wait: Piece | None = None

    @property
    def owner(self) -> Owner:
        """Who owns what this track does now."""
        return self.frames[-1][1] if self.frames else self.base


class Replay:
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
        self.root = Track(t.ROOT, _SERVER)
        self.bridges: list[Bridge] = []
        self.tracks: dict[int, Track] = {t.ROOT: self.root}
        self.foreign: dict[int, Track] = {}
        self.instants: dict[int, list[int]] = {}
        self._owner_of = owner_of
        self._blocking = blocking
        self._yielded: dict[int, Track] = {}
        self._view = view
        self._active: dict[int, list[Track]] = {}
        self._os_threads: dict[int, int] = {}
        self._hops: dict[int, Bridge] = {}
        self._pending_task: dict[int, int] = {}
        self._ready: dict[int, int] = {}
        self._due: dict[int, int] = {}
        self._streams: dict[int, Owner] = {}
        self._run_on: dict[int, tuple[int, int]] = {}
        self._timers: dict[Mark, int] = {}
        for mark in self._in_order(marks):
            self._apply(*mark)
        self._finish(max((mark[1] for mark in marks if mark[0] not in _NO_INSTANT), default=0))

    def instant(self, code: int, *, last: bool = True) -> int | None:
        """Return when a mark of `code` was made, the last or the first one."""
        found = self.instants.get(code)
        return found[-1 if last else 0] if found else None

    def _in_order(self, marks: Iterable[Mark]) -> list[Mark]:
        """Sort by time, after folding the marks that carry no instant into their partner."""
        ordered: list[Mark] = []
        last_run: dict[int, int] = {}
        last_timer: dict[int, int] = {}
        for mark in marks:
            code, instant, thread, value = mark
            if code == t.RUN_ON:
                self._run_on[last_run.get(thread, -1)] = (instant, value)
            elif code == t.TIMER_DUE:
                index = last_timer.get(thread)
                if index is not None and ordered[index][3] == value:
                    self._timers[ordered[index]] = instant
            else:
                if code == t.RUN:
                    last_run[thread] = value
                elif code == t.TIMER:
                    last_timer[thread] = len(ordered)
                ordered.append(mark)
        ordered.sort(key=lambda entry: entry[1])
        return ordered

    def _apply(self, code: int, instant: int, thread: int, value: int) -> None:
        action = _ACTIONS.get(code)
        if action is not None:
            action(self, instant, thread, value)
        else:
            self.instants.setdefault(code, []).append(instant)

    # What runs on a thread -------------------------------------------------------

    def _top(self, thread: int) -> Track:
        stack = self._active.get(thread)
        if stack:
            return stack[-1]
        track = self.foreign.get(thread)
        if track is None:
            track = self.foreign[thread] = Track(
                -1, Owner("unattributed"), foreign=True, thread=thread
            )
        return track

    def _begin(self, track: Track, instant: int, thread: int) -> None:
        stack = self._active.setdefault(thread, [])
        if stack:
            self._account(stack[-1], instant)
            stack[-1].entries.append(Nested(instant, instant, track))
        stack.append(track)
        track.thread = thread
        track.os_thread = self._os_threads.get(thread, track.os_thread)
        track.cursor = instant
        if track.start_ns is None:
            track.start_ns = instant

    def _end(self, instant: int, thread: int, track: Track) -> None:
        stack = self._active.get(thread, [])
        if track not in stack:
            return
        while stack:
            left = stack.pop()
            self._account(left, instant)
            if left is track:
                break
        if stack:
            below = stack[-1]
            below.cursor = instant
            if below.entries and isinstance(below.entries[-1], Nested):
                below.entries[-1].end_ns = instant

    def _account(self, track: Track, instant: int) -> None:
        """Give the time since the track's cursor to whoever owns it now."""
        if not track.open and instant > track.cursor and (track.frames or not track.foreign):
            owner = track.owner
            blocked = self._blocking and (owner.layer, owner.detail) in _BLOCKED
            track.entries.append(
                Piece(track.cursor, instant, owner, track.os_thread, blocked=blocked)
            )
        track.cursor = max(track.cursor, instant)

    def _enter(self, instant: int, thread: int, value: int) -> None:
        self._push(instant, thread, value, self._owner_of(value))

    def _push(self, instant: int, thread: int, key: int, owner: Owner) -> None:
        track = self._top(thread)
        self._account(track, instant)
        track.frames.append((key, self._effective(track, owner)))

    def _effective(self, track: Track, owner: Owner) -> Owner:
        if not owner.layer:
            return track.owner._replace(part=owner.part)
        if owner.layer == "view" and owner.detail is None:
            return owner._replace(detail=self._view or None)
        return owner

    def _exit(self, instant: int, thread: int, value: int) -> None:
        track = self._top(thread)
        self._account(track, instant)
        for index in range(len(track.frames) - 1, -1, -1):
            if track.frames[index][0] == value:
                del track.frames[index:]
                return

    # Tasks -----------------------------------------------------------------------

    def _task(self, _instant: int, thread: int, value: int) -> None:
        self._pending_task[thread] = value

    def _step(self, instant: int, thread: int, value: int) -> None:
        track = self.tracks.setdefault(value, Track(value, self._top(thread).base))
        if track.start_ns is None and thread in self._pending_task:
            track.task = self._pending_task.pop(thread)
            track.ready_ns = self._ready.get(track.task)
        wait, track.wait = track.wait, None
        if wait is not None:
            wait.end_ns = instant
            ready = self._ready.get(track.task, 0)
            if ready >= wait.start_ns:
                wait.timer = wait.due_ns is not None and wait.due_ns <= ready
                wait.due_ns = ready if wait.due_ns is None else min(ready, wait.due_ns)
            elif wait.timer:
                wait.due_ns, wait.timer = None, False
        for bridge in track.open:
            bridge.steps.append(instant)
        self._begin(track, instant, thread)

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

    def _awaits(self, _instant: int, thread: int, value: int) -> None:
        track = self._yielded.get(thread)
        if track is not None and track.wait is not None:
            track.wait.awaits = self.tracks.get(value)

    def _done(self, instant: int, thread: int, value: int) -> None:
        track = self.tracks.get(value)
        if track is None:
            return
        self._end(instant, thread, track)
        track.end_ns = instant

    def _spawn(self, _instant: int, thread: int, value: int) -> None:
        spawner = self._top(thread)
        self.tracks[value] = Track(value, spawner.owner, parent=spawner.parent)

    def _made_ready(self, instant: int, _thread: int, value: int) -> None:
        self._ready[value] = instant

    def _timer(self, instant: int, thread: int, value: int) -> None:
        due = self._timers.get((t.TIMER, instant, thread, value))
        if due is not None:
            self._due[value] = due

    # Hand-offs -------------------------------------------------------------------

    def _hop(self, instant: int, thread: int, value: int) -> None:
        self._open_bridge(instant, thread, value, to_loop=False)

    def _call(self, instant: int, thread: int, value: int) -> None:
        self._open_bridge(instant, thread, value, to_loop=True)

    def _open_bridge(self, instant: int, thread: int, site: int, *, to_loop: bool) -> None:
        track = self._top(thread)
        self._account(track, instant)
        bridge = Bridge(site, to_loop, instant, track.owner, track)
        track.open.append(bridge)
        track.entries.append(bridge)
        self.bridges.append(bridge)

    def _close_bridge(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if track.open:
            track.open.pop().end_ns = instant
            track.cursor = instant

    def _submit(self, instant: int, thread: int, value: int) -> None:
        track = self._top(thread)
        if track.open and not track.open[-1].to_loop:
            bridge = self._hops[value] = track.open[-1]
            bridge.submit_ns = instant

    def _submitted(self, instant: int, _thread: int, value: int) -> None:
        if value in self._hops:
            self._hops[value].submitted_ns = instant

    def _run(self, instant: int, thread: int, value: int) -> None:
        """A hand-off's function begins; a track below it waits in `async_to_sync`."""
        bridge = self._hops.get(value)
        track = Track(value, bridge.owner if bridge else Owner("unattributed"), parent=bridge)
        free, os_thread = self._run_on.get(value, (0, 0))
        self.tracks[value] = track
        if bridge is not None:
            bridge.run, bridge.free_ns = track, free
        self._os_threads[thread] = track.os_thread = os_thread
        self._active.setdefault(thread, []).append(track)
        track.thread, track.start_ns, track.cursor = thread, instant, instant

    def _begun(self, instant: int, _thread: int, value: int) -> None:
        """What asgiref did before it called the function is the hand-off's, not its run's."""
        track = self.tracks.get(value)
        if track is not None and not track.entries and not track.frames:
            track.start_ns = track.cursor = instant

    def _notified(self, instant: int, _thread: int, value: int) -> None:
        if value in self._hops:
            self._hops[value].notified_ns = instant

    def _call_submit(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if track.open and track.open[-1].to_loop:
            track.open[-1].submit_ns = instant

    def _call_submitted(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if track.open and track.open[-1].to_loop:
            track.open[-1].submitted_ns = instant

    def _bridge(self, _instant: int, thread: int, value: int) -> None:
        caller = self._top(thread)
        if caller.open and caller.open[-1].to_loop:
            call = caller.open[-1]
            call.run = self.tracks[value] = Track(value, call.owner, parent=call)

    # The rest --------------------------------------------------------------------

    def _thread_started(self, instant: int, thread: int, _value: int) -> None:
        self.instants.setdefault(t.THREAD, []).append(instant)
        track = self._top(thread)
        if track.open:
            track.open[-1].thread_started = True

    def _queued(self, instant: int, thread: int, _value: int) -> None:
        track = self._top(thread)
        if instant > track.cursor:
            owner = Owner("server", "thread queue")
            track.entries.append(Piece(track.cursor, instant, owner, None, blocked=True))
        track.cursor = max(track.cursor, instant)

    def _os_thread(self, _instant: int, thread: int, value: int) -> None:
        self._os_threads[thread] = value
        stack = self._active.get(thread)
        if stack:
            stack[-1].os_thread = value

    def _stream(self, _instant: int, thread: int, value: int) -> None:
        owner = self._top(thread).owner
        if owner.layer in ("server", "unattributed"):
            owner = Owner("view", self._view or None)
        self._streams[value] = owner._replace(part="stream", phase=None)

    def _pull(self, instant: int, thread: int, value: int) -> None:
        owner = self._streams.get(value, Owner("view", self._view or None, "stream"))
        self._push(instant, thread, -value, owner)

    def _pulled(self, instant: int, thread: int, value: int) -> None:
        self._exit(instant, thread, -value)

    def _pause(self, instant: int, thread: int, _value: int) -> None:
        self._push(instant, thread, _GC, Owner(cast("Layer", ""), None, "gc"))

    def _pause_end(self, instant: int, thread: int, _value: int) -> None:
        self._exit(instant, thread, _GC)

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
        for bridge in self.bridges:
            if not bridge.end_ns:
                bridge.end_ns = max(instant, bridge.start_ns)


_GC: Final = -1 << 40
_BLOCKED: Final = frozenset({("server", "body"), ("server", "close")})
_NO_INSTANT: Final = frozenset({t.RUN_ON, t.TIMER_DUE})
_ACTIONS: Final[dict[int, Callable[[Replay, int, int, int], None]]] = {
    t.ENTER: Replay._enter,
    t.EXIT: Replay._exit,
    t.STEP: Replay._step,
    t.YIELD: Replay._yield,
    t.DONE: Replay._done,
    t.SPAWN: Replay._spawn,
    t.TASK: Replay._task,
    t.AWAITS: Replay._awaits,
    t.READY: Replay._made_ready,
    t.TIMER: Replay._timer,
    t.HOP: Replay._hop,
    t.HOP_END: Replay._close_bridge,
    t.SUBMIT: Replay._submit,
    t.SUBMITTED: Replay._submitted,
    t.RUN: Replay._run,
    t.RAN: Replay._done,
    t.BEGUN: Replay._begun,
    t.NOTIFIED: Replay._notified,
    t.CALL: Replay._call,
    t.CALL_END: Replay._close_bridge,
    t.CALL_SUBMIT: Replay._call_submit,
    t.CALL_SUBMITTED: Replay._call_submitted,
    t.BRIDGE: Replay._bridge,
    t.QUEUED: Replay._queued,
    t.THREAD: Replay._thread_started,
    t.OS_THREAD: Replay._os_thread,
    t.STREAM: Replay._stream,
    t.PULL: Replay._pull,
    t.PULLED: Replay._pulled,
    t.PAUSE: Replay._pause,
    t.PAUSE_END: Replay._pause_end,
}
