"""Which Python stack ran when, on every thread of one request: exact calls or samples.

Only what runs in the request's own context counts: at each event its context variable
says whose code this is. So nothing of a concurrent request gets in, on no thread.
"""

from __future__ import annotations

import types
from threading import get_ident as ident
from threading import get_native_id as native_id
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.stackframes import EXACT, NO_NODE, SAMPLED, SEPARATOR, Stacks, Stretch

if TYPE_CHECKING:
    from types import CodeType, FrameType

THRESHOLD_NS: Final = 5_000
"""An exact call shorter than this belongs to its caller."""

MOST_NS: Final = 10_000_000_000
MOST_STRETCHES: Final = 60_000
MOST_COST_NS: Final = 50_000_000
"""From here on samples may not cost more than half of the time: deep down each call is one."""

_DEEPEST: Final = 500

CALL, RETURN, C_CALL, C_RETURN = "call", "return", "c_call", "c_return"
_C_ENDS: Final = frozenset({C_RETURN, "c_exception"})
_BUILT_IN: Final = (types.BuiltinFunctionType, types.MethodDescriptorType, type)

Entry = tuple[Any, int, int, int, int]
"""Frame (None: a C function), node, instant it began, stretches and stretch begun before."""


class Thread:
    """What one thread is at, and the stretches it has had: `(start_ns, end_ns, node)`."""

    __slots__ = ("last_ns", "native", "stack", "stretches")

    def __init__(self, last_ns: int) -> None:
        """Begin at an instant, on the calling thread."""
        self.native = native_id()
        self.last_ns = last_ns
        self.stack: list[Entry] = []
        self.stretches: list[tuple[int, int, int]] = []


class Capture:
    """The stacks of one request while it runs; `exact` or `sample` takes an event.

    It doesn't hold the timeline, which holds what leads here: neither would ever go.
    """

    def __init__(self, timeline: object, source: int, interval_ns: int) -> None:
        """Take the stacks of what runs in a timeline's context from now on."""
        self.source = source
        self.start_ns = now()
        self.events = 0
        self.closed = False
        self.truncated = False
        self._cost_ns = 0
        self.interval_ns = interval_ns
        self._id = id(timeline)
        self._deadline_ns = self.start_ns + MOST_NS
        self._threads: dict[int, Thread] = {}
        self._names: dict[str, int] = {}
        self._nodes: list[tuple[int, int]] = []
        self._places: dict[tuple[int, int | str], int] = {}
        self._kept: list[CodeType] = []  # an address is told from another's while it lasts

    def begin_thread(self) -> None:
        """The calling thread is watched from now on: what it runs first began here."""
        here, instant = ident(), now()
        thread = self._threads.get(here)
        if thread is None:
            self._threads[here] = Thread(instant)
        else:
            thread.last_ns = instant

    def is_expired(self) -> bool:
        """Say whether a request took so long that it may never have ended."""
        return now() > self._deadline_ns

    def exact(self, frame: FrameType, event: str, arg: Any) -> None:
        """Take one event of `sys.setprofile`'s kind."""
        instant = now()
        self.events += 1
        thread = self._threads.get(ident())
        if id(CURRENT.get()) != self._id:
            if thread is not None and thread.stack:
                self._leave(thread, instant)
            return
        if thread is None:
            thread = self._threads[ident()] = Thread(instant)
        if event == CALL:
            self._reach(thread, frame.f_back, instant)
            self._push(thread, frame, self._place(thread, frame), instant)
        elif event == C_CALL:
            self._reach(thread, frame, instant)
            self._push(thread, None, self._place_of_c(thread.stack[-1][1], arg), instant)
        elif event == RETURN:
            self._reach(thread, frame, instant)
            self._pop(thread, instant)
        elif event in _C_ENDS and thread.stack and thread.stack[-1][0] is None:
            self._pop(thread, instant)
        if instant > self._deadline_ns or len(thread.stretches) > MOST_STRETCHES:
            self.closed = self.truncated = True

    def sample(self, frame: FrameType, event: str, arg: Any) -> None:
        """Take one sample: what has run on this thread since the last one."""
        instant = now()
        here = ident()
        thread = self._threads.get(here)
        if thread is None:
            thread = self._threads[here] = Thread(instant)
        if id(CURRENT.get()) == self._id:
            node = self._walk(frame.f_back if event == CALL else frame)
            if event in _C_ENDS:
                node = self._place_of_c(node, arg)
            thread.stretches.append((thread.last_ns, instant, node))
            if instant > self._deadline_ns or len(thread.stretches) > MOST_STRETCHES:
                self.closed = self.truncated = True
        self.events += 1
        thread.last_ns = instant
        self._cost_ns += now() - instant
        if self._cost_ns > MOST_COST_NS and 2 * self._cost_ns > instant - self.start_ns:
            self.closed = self.truncated = True

    def finish(self, request_id: int, call_cost_ns: int) -> Stacks:
        """Return what was taken; a call is known to have cost `call_cost_ns`."""
        self.closed = True
        instant = now()
        for thread in self._threads.values():
            if thread.stack:
                self._leave(thread, instant)
        every = [
            Stretch(start, end, thread.native, node)
            for thread in self._threads.values()
            for start, end, node in thread.stretches
            if node != NO_NODE
        ]
        sampled = self.source == SAMPLED
        return Stacks(
            request_id=request_id,
            start_ns=self.start_ns,
            end_ns=instant,
            source=self.source,
            interval_ns=self.interval_ns if sampled else 0,
            threshold_ns=0 if sampled else THRESHOLD_NS,
            events=self.events,
            cost_ns=self._cost_ns if self.source != EXACT else self.events * call_cost_ns,
            truncated=self.truncated,
            names=tuple(self._names),
            nodes=tuple(self._nodes),
            stretches=tuple(sorted(every)),
        )

    def _reach(self, thread: Thread, frame: FrameType | None, instant: int) -> None:
        """Have `frame` on top of the thread's stack, or a C function that it has called."""
        stack = thread.stack
        while stack:
            top = stack[-1][0]
            if top is frame or (top is None and len(stack) > 1 and stack[-2][0] is frame):
                return
            self._pop(thread, instant)
        thread.last_ns = instant
        node = self._walk(frame)
        stack.append((frame, node, instant, len(thread.stretches), instant))

    def _push(self, thread: Thread, frame: FrameType | None, node: int, instant: int) -> None:
        since, count = thread.last_ns, len(thread.stretches)
        if instant > since:
            thread.stretches.append((since, instant, thread.stack[-1][1]))
        thread.last_ns = instant
        # Whether it was long is judged without what this has taken.
        thread.stack.append((frame, node, now(), count, since))

    def _pop(self, thread: Thread, instant: int) -> None:
        _, node, began, count, since = thread.stack.pop()
        if thread.stack and instant - began < THRESHOLD_NS:
            del thread.stretches[count:]
            thread.last_ns = since
            return
        if instant > thread.last_ns:
            thread.stretches.append((thread.last_ns, instant, node))
        thread.last_ns = instant

    def _leave(self, thread: Thread, instant: int) -> None:
        """Something that isn't the request's runs on this thread."""
        if instant > thread.last_ns:
            thread.stretches.append((thread.last_ns, instant, thread.stack[-1][1]))
        thread.stack.clear()

    def _walk(self, frame: FrameType | None) -> int:
        chain: list[FrameType] = []
        while frame is not None and len(chain) < _DEEPEST:
            chain.append(frame)
            frame = frame.f_back
        node = NO_NODE
        for one in reversed(chain):
            node = self._child(node, one)
        return node

    def _place(self, thread: Thread, frame: FrameType) -> int:
        return self._child(thread.stack[-1][1], frame)

    def _child(self, parent: int, frame: FrameType) -> int:
        code = frame.f_code
        found = self._places.get((parent, id(code)))
        if found is None:
            self._kept.append(code)
            module = str(frame.f_globals.get("__name__", ""))
            found = self._new(parent, id(code), _name_of(module, code))
        return found

    def _place_of_c(self, parent: int, function: object) -> int:
        name = _name_of_c(function)
        found = self._places.get((parent, name))
        return self._new(parent, name, name) if found is None else found

    def _new(self, parent: int, key: int | str, name: str) -> int:
        number = self._names.setdefault(name, len(self._names))
        self._nodes.append((parent, number))
        found = self._places[parent, key] = len(self._nodes) - 1
        return found


def _name_of(module: str, code: CodeType) -> str:
    parts = (module, code.co_qualname, code.co_filename, str(code.co_firstlineno))
    return SEPARATOR.join(part.replace("\0", "") for part in parts)


def _name_of_c(function: object) -> str:
    """Name a C function, running no code of the application's for it."""
    if isinstance(function, _BUILT_IN):
        owner = getattr(function, "__objclass__", function)
        module, name = getattr(owner, "__module__", None), function.__qualname__
        if module is None:
            module = type(getattr(function, "__self__", None)).__module__
    else:
        module, name = type(function).__module__, f"{type(function).__qualname__}.__call__"
    return SEPARATOR.join((str(module or "builtins"), name, "", "0"))
