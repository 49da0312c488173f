"""Marks: what a traced request appends while it runs, and nothing else.

A mark is four integers `(code, t_ns, thread, value)`; `thread` is
`threading.get_ident()`. What `value` means depends on the code:

| code | value |
|---|---|
| ENTER, EXIT | name id of an owner: code of that owner begins, ends |
| STEP, YIELD | track that begins to run on this thread; id of the future it yielded |
| DONE | track that ended |
| SPAWN | new track of a task created here |
| TASK | id of the task that runs this track |
| AWAITS | the one track that the future just yielded waits for |
| READY | id of the task that was made ready to run |
| TIMER, TIMER_DUE | id of the future a timer will complete; `t_ns` is call and due instant |
| HOP, HOP_END | name id of the site; 0 |
| SUBMIT, SUBMITTED, RUN, RAN, NOTIFIED | number of the hop |
| BEGUN | hop or track whose own function begins, after asgiref has moved the context |
| RUN_ON | OS thread id; `t_ns` is when that thread finished what it ran before |
| CALL, CALL_END | name id of the site that called `async_to_sync`; 0 |
| CALL_SUBMIT, CALL_SUBMITTED | 0 |
| BRIDGE | track of the coroutine that the open CALL waits for |
| READ | 0: the server has handed the request to the loop or thread |
| QUEUED | 0: the server's thread pool got the connection |
| SENT | 0: bytes were handed to the kernel or the transport |
| LAST | 0: the last byte was handed over |
| DISCONNECT | 0: the server noticed that the client has gone |
| THREAD | 0: a thread was started |
| CONNECT | 0: a database connection was opened |
| PAUSE, PAUSE_END | name id of the owner of a garbage collection, written at its end |
| OS_THREAD | OS thread id of the thread that writes this mark |
| STREAM, PULL, PULLED | number of a response stream that was set, is pulled, gave a chunk |
"""

from __future__ import annotations

from threading import get_ident as ident
from typing import TYPE_CHECKING, Final

from tracer.model.marks import HARD_LIMIT, MARK_LIMIT, Mark, Marks, pack, unpack
from tracer.model.native import native

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

(
    ENTER,
    EXIT,
    STEP,
    YIELD,
    DONE,
    SPAWN,
    TASK,
    AWAITS,
    READY,
    TIMER,
    TIMER_DUE,
    HOP,
    HOP_END,
    SUBMIT,
    SUBMITTED,
    RUN,
    RUN_ON,
    RAN,
    NOTIFIED,
    CALL,
    CALL_END,
    CALL_SUBMIT,
    CALL_SUBMITTED,
    BRIDGE,
    READ,
    QUEUED,
    SENT,
    LAST,
    DISCONNECT,
    THREAD,
    CONNECT,
    PAUSE,
    PAUSE_END,
    OS_THREAD,
    STREAM,
    PULL,
    PULLED,
    BEGUN,
) = range(1, 39)

ROOT: Final = 0
"""The track in which the server calls the application."""

if native is not None:
    _steps = (ENTER, EXIT, STEP, YIELD, DONE)
    _hops = (SUBMIT, SUBMITTED, RUN, RUN_ON, RAN, NOTIFIED, READY, HOP, HOP_END)
    _ends = (SENT, LAST, DISCONNECT, OS_THREAD, QUEUED, TASK, READ)
    native.codes(*_steps, *_hops, *_ends, MARK_LIMIT, HARD_LIMIT)


_KNOWN: Final[tuple[str, ...]] = (
    ("children", "path", "read_headers", "status", "streams", "verdict") if native is None else ()
)


class Timeline(Marks):
    """All marks of one request, and what is known of the request."""

    __slots__ = _KNOWN

    if TYPE_CHECKING or native is None:

        def __init__(self, sequence: int, start_ns: int, server: int, interface: int) -> None:
            """Open the timeline of a request first touched at `start_ns`."""
            super().__init__()
            self.sequence = sequence
            self.start_ns = start_ns
            self.server = server
            self.interface = interface
            self.children: list[tuple[Any, int]] = []
            self.read_headers: Callable[[], dict[str, str]] | None = None
            self.path: str | None = None
            self.status = 0
            self.streams = 0
            self.verdict: Any = None

        def longest(self, start_ns: int, end_ns: int) -> int:
            """Return the owner whose own code ran longest in between on this thread, 0: none."""
            stack: list[int] = []
            here, last, best, owner = ident(), start_ns, 0, 0
            for code, instant, thread, value in self.marks():
                if thread != here:
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
            return owner

    def finish(self) -> bytes:
        """Take no more marks and give the integers of those taken.

        Where some were folded, the last byte may have been among them.
        """
        packed = self.packed()
        if self.folded and self.last_ns:
            packed += pack([(LAST, self.last_ns, ident(), 0)])
        self.drop()
        self.children.clear()
        return packed

    def marks(self) -> list[Mark]:
        """Return the marks taken so far."""
        return unpack(self.packed())
