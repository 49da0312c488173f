"""The recorder: opens a timeline for a request, names things, hands finished work over."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
from threading import get_ident as ident
from typing import TYPE_CHECKING, Final, Protocol

from tracer.model import frames
from tracer.model.clock import now
from tracer.model.marks import BusyNumbers, Log
from tracer.model.nametable import OTHER
from tracer.model.timeline import Timeline
from tracer.runtime import loop_state
from tracer.runtime.blockers import Blockers
from tracer.runtime.identity import identify
from tracer.runtime.naming import Naming
from tracer.runtime.sampling import DROPPED, Sampler
from tracer.runtime.threadnames import ThreadNames
from tracer.settings.sampling import Policy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tracer.model.frames import Ids
    from tracer.model.traceparent import ReadHeaders
    from tracer.ring.sink import Sink

OCCUPANCY_FLOOR_NS: Final = 10_000
"""A callback shorter than this is the loop's own turn, not an occupant."""

LONG_NS: Final = 2_000_000
"""From here on it is worth finding out what in a callback took so long."""

_SHOW_NS: Final = 2_000_000
"""Counts of requests that come faster than this are shown together: showing costs a µs."""

_OCCUPANCY_BATCH: Final = 4_000

_logger = logging.getLogger("tracer")


class Arming(Protocol):
    """Chooses requests whose Python stacks are taken; `tracer.runtime.stacks` has one."""

    def consider(self, timeline: Timeline) -> None:
        """Take the stacks of a request that begins now, if it is wanted."""

    def ended(self, timeline: Timeline, finish_ns: int) -> Callable[[int, int], bytes] | None:
        """Return what makes a frame of a request id and the most bytes it may have, if any."""

    def after_fork(self) -> None:
        """Take no stacks that the parent was taking."""


class Recorder:
    """One per process: the only state that outlives a request."""

    def __init__(
        self, sink: Sink, *, policy: Policy | None = None, record_paths: bool = False
    ) -> None:
        """Record into `sink` the requests a policy asks for; without one, all."""
        self.sink = sink
        self.record_paths = record_paths
        self.server_name: str | None = None
        self.loop_hooks: list[Callable[[asyncio.AbstractEventLoop], None]] = []
        self.untracked: set[object] = set()
        self.problems: dict[str, tuple[str, str]] = {}
        self.describe: Callable[[], dict[str, object]] = dict
        self.live_context: Callable[[], object] | None = None
        """Gives OpenTelemetry's own context where the process has a TracerProvider."""
        self.live_ids: Callable[[Timeline], Ids] | None = None
        self._lock = threading.Lock()
        self._naming = naming = Naming(self._names_are_full)
        self.name, self.owner = naming.name, naming.owner
        self.place, self.endpoint = naming.place, naming.endpoint
        self.method = naming.method
        self.names = naming.numbers
        self.threads = ThreadNames()
        self.sequence = itertools.count(1)
        self._shown_ns = 0
        self.busy = Log()
        self.log: Callable[[BusyNumbers], None] = self.busy.append
        self.described: object = None
        self._complained = self.reached = False
        self.callbacks: dict[tuple[int, str], int] = {}
        self.kept: list[object] = []
        self._blockers = Blockers(naming.name, naming.numbers, LONG_NS)
        self.busy.after = self._blockers.after
        self.arming: Arming | None = None
        self.policy = policy or Policy()
        self.sampler = Sampler(self.policy, self.name)

    def open(
        self,
        interface: str,
        server: str,
        start_ns: int,
        path: str | None = None,
        read_headers: ReadHeaders | None = None,
    ) -> Timeline | None:
        """Begin a request's timeline, or return None for one that won't be recorded.

        `path` and `read_headers` are its head, None where the server has none.
        """
        verdict = self.sampler.judge(path, read_headers)
        if verdict is None:
            self._show()
            return None
        timeline = self._open(interface, server, start_ns)
        timeline.verdict, timeline.path, timeline.read_headers = verdict, path, read_headers
        if self.arming is not None:
            self.arming.consider(timeline)
        return timeline

    def open_early(self, interface: str, server: str, start_ns: int) -> Timeline | None:
        """Begin a timeline before the head is known, or return None: `admit` either then."""
        return None if self.sampler.never else self._open(interface, server, start_ns)

    def admit(
        self,
        timeline: Timeline | None,
        path: str | None = None,
        read_headers: ReadHeaders | None = None,
    ) -> bool:
        """Decide about a request whose head is known now; the marks of one not wanted go."""
        verdict = self.sampler.judge(path, read_headers)
        if verdict is None or timeline is None:
            instant = now()
            if instant - self._shown_ns > _SHOW_NS:
                self._shown_ns = instant
                self._show()
            if timeline is not None:
                timeline.drop()
                timeline.verdict = DROPPED
            return False
        timeline.verdict, timeline.path, timeline.read_headers = verdict, path, read_headers
        if self.arming is not None:
            self.arming.consider(timeline)
        return True

    def _open(self, interface: str, server: str, start_ns: int) -> Timeline:
        name = self.name(self.server_name or server)
        return Timeline(next(self.sequence), start_ns, name, self.name(interface))

    def close(self, timeline: Timeline) -> None:
        """Hand a finished timeline over, if it is kept; the request has its answer by now."""
        finish_ns = now()
        stacks = None
        try:
            if self.arming is not None:
                stacks = self.arming.ended(timeline, finish_ns)
            if not self.sampler.settle(timeline, finish_ns):
                timeline.drop()
                timeline.read_headers = None
                self.answered()
                self._show()
                return
            if not self.record_paths:
                timeline.path = None
            ids = identify(timeline)
            frame = frames.closed(timeline, finish_ns, ids)
            if ident() not in self.threads.seen and self.threads.met():
                self.described = None
            if not self.reached:
                self.answered()
            more = stacks(ids[0], self.sink.largest) if stacks is not None else b""
            several = [(frames.TIMELINE, frame)]
            if more:
                several.append((frames.STACKS, more))
            with self._lock:
                self._send(several)
        except Exception:
            self.problem("recorder:close", "refused", "a finished timeline was lost")
            if not self._complained:
                self._complained = True
                _logger.warning("tracer: a finished timeline was lost", exc_info=True)

    def answered(self) -> None:
        """Have the sink ready, which takes long the first time: call it after an answer only."""
        if not self.reached:
            with self._lock:
                self._describe()
            self.reached = True
            self._show()
            atexit.register(self._show)

    def _show(self) -> None:
        if self.reached:
            self.sink.count(self.sampler.counts)

    # `log` takes the numbers of one entry; the hot path calls it itself where it has a name.

    def occupy(self, start_ns: int, end_ns: int, timeline: Timeline | None, name: int = 0) -> None:
        """Note that this thread ran something from `start_ns` to `end_ns`."""
        if timeline is None:
            self._log_slowly((start_ns, end_ns, ident(), 0, name))
            return
        thread = ident()
        if start_ns < timeline.last_ns < end_ns:
            answered = timeline.last_ns
            named = name or self.blocker(timeline, start_ns, answered)
            self._log_slowly((start_ns, answered, thread, timeline.sequence, named))
            start_ns, name = answered, 0
        name = name or self.blocker(timeline, start_ns, end_ns)
        self._log_slowly((start_ns, end_ns, thread, timeline.sequence, name))

    def _log_slowly(self, entry: BusyNumbers) -> None:
        self.log(entry)
        if len(self.busy) >= _OCCUPANCY_BATCH and self._lock.acquire(blocking=False):
            try:
                self._send([])
            finally:
                self._lock.release()

    def recent_occupancy(self) -> list[frames.Busy]:
        """Return who held which thread since that was last handed over; it still will be."""
        with self._lock:
            taken = frames.decode_occupancy(self.busy.take())
            for one in taken:
                self.busy.append((one.start_ns, one.end_ns, one.thread, one.sequence, one.name))
        return taken

    def blocker(self, timeline: Timeline, start_ns: int, end_ns: int) -> int:
        """Return the name of what a request did between two instants."""
        return self._blockers.of(timeline, start_ns, end_ns)

    def note_error(self, timeline: Timeline | None, error: BaseException | None) -> None:
        """Remember the type of an exception that a request met."""
        if timeline is not None and error is not None:
            kind = type(error)
            prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            timeline.error_type = self.name(prefix + kind.__qualname__)

    def watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wrap the seams that live on a loop's instance, once per loop."""
        if not hasattr(loop, loop_state.WATCHED):
            loop_state.begin(loop)
            for hook in self.loop_hooks:
                hook(loop)

    def problem(self, seam: str, status: str, reason: str) -> None:
        """Note a seam that is refused or missing; the first reason stands."""
        self.problems.setdefault(seam, (status, reason))

    def _names_are_full(self) -> None:
        self.problem("recorder:names", "refused", f"no room for more names: they are {OTHER}")

    def after_fork(self) -> None:
        """Start afresh in a forked child: nothing of the parent's is ours to hand over."""
        self._lock = threading.Lock()
        self.busy.take()
        self.busy.opened = None
        self._naming.after_fork()
        self.threads = ThreadNames()
        self.described = None
        self.reached = False
        self.sampler.after_fork()
        if self.arming is not None:
            self.arming.after_fork()

    def _send(self, several: list[tuple[int, bytes]]) -> None:
        """Hand over frames, and before them who held which thread until now."""
        if len(self.busy):
            several.insert(0, (frames.OCCUPANCY, self.busy.take()))
        if self.described != len(self.problems):
            self._describe()
        self.sink.write(several, self._naming.take() if self.names.new else [])

    def _describe(self) -> None:
        state = len(self.problems)
        if self.described != state:
            self.described = state
            self.sink.describe(self.describe())


_installed: Recorder | None = None


def installed() -> Recorder | None:
    """Return this process's recorder, None before `install`."""
    return _installed


def set_installed(recorder: Recorder | None) -> None:
    """Make `recorder` the one this process records with."""
    global _installed  # noqa: PLW0603
    if _installed is None and recorder is not None:
        os.register_at_fork(after_in_child=_after_fork)
    _installed = recorder


def _after_fork() -> None:
    if _installed is not None:
        _installed.after_fork()
