"""The recorder: opens a timeline for a request, names things, hands finished work over."""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

from tracer import frames
from tracer.clock import now
from tracer.layers import Owner
from tracer.timeline import ENTER, EXIT, Timeline
from tracer.traceparent import parse_traceparent

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

CURRENT: ContextVar[Timeline | None] = ContextVar("tracer_timeline", default=None)
"""The timeline of the request in whose context this code runs."""

OCCUPANCY_FLOOR_NS: Final = 10_000
"""A callback shorter than this is the loop's own turn, not an occupant."""

LONG_NS: Final = 2_000_000
"""From here on it is worth finding out what in a callback took so long."""

_OCCUPANCY_BATCH: Final = 20_000

BusyNumbers = tuple[int, int, int, int, int]
"""Start and end instant, thread, sequence of the request (0: none), name of what ran."""

_logger = logging.getLogger("tracer")


class Sink(Protocol):
    """Takes frames out of the worker; never blocks, never raises for a full buffer."""

    def write(self, kind: int, frame: bytes, names: list[str]) -> None:
        """Take one frame and the names that were given out since the last one."""

    def describe(self, document: dict[str, object]) -> None:
        """Take what is known of this process."""


class Recorder:
    """One per process: the only state that outlives a request."""

    def __init__(self, sink: Sink, *, sample: float = 1.0, record_paths: bool = False) -> None:
        """Record into `sink` the share `sample` (0..1) of the requests."""
        self.sink = sink
        self.sample = sample
        self.record_paths = record_paths
        self.server_name: str | None = None
        self.loop_hooks: list[Callable[[asyncio.AbstractEventLoop], None]] = []
        self.untracked: set[object] = set()
        self.opened: Timeline | None = None
        self.problems: dict[str, tuple[str, str]] = {}
        self.describe: Callable[[], dict[str, object]] = dict
        self._lock = threading.Lock()
        self._names: dict[str, int] = {}
        self._new_names: list[str] = []
        self._owners: dict[Owner, int] = {}
        self._after: dict[int, int] = {}
        self._sequence = 0
        self._occupancy: list[int] = []
        self.log: Callable[[BusyNumbers], None] = self._occupancy.extend
        self._described: object = None
        self._complained = False

    def name(self, text: str) -> int:
        """Return the number of a text; the same text has the same number in this process."""
        number = self._names.get(text)
        if number is None:
            with self._lock:
                number = self._names.get(text)
                if number is None:
                    number = self._names[text] = len(self._names) + 1
                    self._new_names.append(text)
        return number

    def owner(
        self,
        layer: str,
        detail: str | None = None,
        part: str | None = None,
        phase: str | None = None,
    ) -> int:
        """Return the number of an owner of time."""
        key = Owner(layer, detail, part, phase)  # type: ignore[arg-type]
        number = self._owners.get(key)
        if number is None:
            number = self._owners[key] = self.name("\x1f".join(field or "" for field in key))
        return number

    def open(self, interface: str, server: str, start_ns: int) -> Timeline | None:
        """Begin a request's timeline, or return None for one that isn't sampled."""
        if self.sample < 1.0 and random.random() >= self.sample:  # noqa: S311
            return None
        self._sequence = sequence = self._sequence + 1
        timeline = Timeline(
            sequence, start_ns, self.name(self.server_name or server), self.name(interface)
        )
        if self.sample < 1.0:
            timeline.weight = 1 / self.sample
        return timeline

    def close(self, timeline: Timeline) -> None:
        """Hand a finished timeline over; the request has its answer by now."""
        finish_ns = now()
        numbers = timeline.finish()
        try:
            frame = frames.encode_timeline(timeline, numbers, finish_ns, self._identify(timeline))
            with self._lock:
                self._flush_occupancy()
                self._send(frames.TIMELINE, frame)
        except Exception:
            self.problem("recorder:close", "refused", "a finished timeline was lost")
            if not self._complained:
                self._complained = True
                _logger.warning("tracer: a finished timeline was lost", exc_info=True)

    def _identify(self, timeline: Timeline) -> tuple[int, int, int | None]:
        """Return request, trace and parent span id; what the server lent is given back."""
        read_headers, timeline.read_headers = timeline.read_headers, None
        headers = read_headers() if read_headers is not None else {}
        trace_id, parent = parse_traceparent(headers.get("traceparent"))
        if not self.record_paths:
            timeline.path = None
        return random.getrandbits(64) or 1, trace_id or random.getrandbits(128) or 1, parent

    # `log` takes the numbers of one entry; the hot path calls it itself where it has a name.

    def occupy(self, start_ns: int, end_ns: int, timeline: Timeline | None, name: int = 0) -> None:
        """Note that this thread ran something from `start_ns` to `end_ns`."""
        if timeline is None:
            self._log_slowly((start_ns, end_ns, threading.get_ident(), 0, name))
            return
        thread = threading.get_ident()
        if start_ns < timeline.last_ns < end_ns:
            answered = timeline.last_ns
            named = name or self.culprit(timeline, start_ns, answered)
            self._log_slowly((start_ns, answered, thread, timeline.sequence, named))
            start_ns, name = answered, 0
        name = name or self.culprit(timeline, start_ns, end_ns)
        self._log_slowly((start_ns, end_ns, thread, timeline.sequence, name))

    def _log_slowly(self, entry: BusyNumbers) -> None:
        self.log(entry)
        if len(self._occupancy) >= _OCCUPANCY_BATCH and self._lock.acquire(blocking=False):
            try:
                self._flush_occupancy()
            finally:
                self._lock.release()

    def culprit(self, timeline: Timeline, start_ns: int, end_ns: int) -> int:
        """Return the name of what a request did between two instants."""
        if timeline.last_ns and timeline.last_ns <= start_ns:
            return self._after_response_of(timeline.view)
        if end_ns - start_ns < LONG_NS:
            return timeline.view
        return self._longest(timeline, start_ns, end_ns) or timeline.view

    def note_error(self, timeline: Timeline | None, error: BaseException | None) -> None:
        """Remember the type of an exception that a request met."""
        if timeline is not None and error is not None:
            kind = type(error)
            prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            timeline.error_type = self.name(prefix + kind.__qualname__)

    def watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stand in for the seams that live on a loop's instance, once per loop."""
        if "_tracer_watched" not in loop.__dict__:
            loop.__dict__["_tracer_watched"] = True
            for hook in self.loop_hooks:
                hook(loop)

    def problem(self, seam: str, status: str, reason: str) -> None:
        """Note a seam that is refused or missing; the first reason stands."""
        self.problems.setdefault(seam, (status, reason))

    def after_fork(self) -> None:
        """Start afresh in a forked child: nothing of the parent's is ours to hand over."""
        self._lock = threading.Lock()
        self._occupancy = []
        self.log = self._occupancy.extend
        self._new_names = [
            text for text, _ in sorted(self._names.items(), key=lambda item: item[1])
        ]
        self._sequence = 0
        self._described = None

    def _after_response_of(self, view: int) -> int:
        name = self._after.get(view)
        if name is None:
            text = f"after_response of {self._text(view) or 'a request'}"
            name = self._after[view] = self.name(text)
        return name

    def _text(self, name: int) -> str:
        return next((text for text, number in self._names.items() if number == name), "")

    def _longest(self, timeline: Timeline, start_ns: int, end_ns: int) -> int:
        """Return the detail of the code that ran longest between two instants on this thread."""
        thread = threading.get_ident()
        stack: list[int] = []
        last, best, owner = start_ns, 0, 0
        for code, instant, where, value in timeline.marks():
            if where != thread:
                continue
            if instant > start_ns and instant - last > best:
                best, owner = instant - last, stack[-1] if stack else 0
            if code == ENTER:
                stack.append(value)
            elif code == EXIT and stack:
                stack.pop()
            last = max(instant, start_ns)
        if end_ns - last > best:
            owner = stack[-1] if stack else 0
        fields = self._text(owner).split("\x1f")
        return self.name(fields[1]) if len(fields) > 1 and fields[1] else 0

    def _flush_occupancy(self) -> None:
        fresh: list[int] = []
        numbers, self._occupancy, self.log = self._occupancy, fresh, fresh.extend
        if numbers:
            self._send(frames.OCCUPANCY, frames.encode_occupancy(tuple(numbers)))

    def _send(self, kind: int, frame: bytes) -> None:
        names, self._new_names = self._new_names, []
        state = len(self.problems)
        if self._described != state:
            self._described = state
            self.sink.describe(self.describe())
        self.sink.write(kind, frame, names)


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


def process_description() -> dict[str, object]:
    """Return what the contract's `environment` needs of this process, libraries excepted."""
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "cpus": len(os.sched_getaffinity(0)),
        "switch_interval_ns": round(sys.getswitchinterval() * 1_000_000_000),
        "kernel": os.uname().release,
    }
