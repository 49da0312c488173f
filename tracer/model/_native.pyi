# The extension module built from `tracer/runtime/native`. Timelines are `tracer.model.timeline`'s,
# instants and durations nanoseconds, owners and names numbers of the worker's name table.

from array import array
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from mmap import mmap
from typing import Any, Self, TypeAlias, final

from tracer.model.marks import Mark, PureLog, PureMarks
from tracer.model.timeline import Timeline

_Current: TypeAlias = ContextVar[Timeline | None]
_Function: TypeAlias = Callable[..., Any]

READS_FRAMES: bool

class Marks(PureMarks):
    children: list[Any]  # weak references to tasks, and their tracks
    path: str | None
    read_headers: Any
    status: Any
    streams: int
    verdict: Any
    def longest(self, start_ns: int, end_ns: int) -> int: ...

@final
class Log(PureLog): ...

@final
class RingMemory:
    head: int
    sent: int
    written: int
    def __new__(
        cls, memory: mmap, capacity: int, sent: int, written: int, lap: int, descriptor: int = -1
    ) -> Self: ...
    def put(
        self, frames: list[tuple[int, bytes]], fits: bool, counts: array[int]
    ) -> int: ...  # an answer of `tracer.ring.memory`
    def show(self, counts: array[int]) -> None: ...
    def touch(self, start: int, size: int) -> None: ...

@final
class Waiting:
    count: int
    def __new__(
        cls,
        loop: Any = None,
        plain: _Function | None = None,
        listening: _Function | None = None,
    ) -> Self: ...
    def begin(self) -> None: ...
    def end(self) -> None: ...

@final
class Steps(Coroutine[Any, Any, Any]):
    def __new__(
        cls,
        coroutine: Coroutine[Any, Any, Any],
        timeline: Timeline,
        track: int,
        begin: Callable[[Timeline], Any],  # gives a Waiting or None
        mark_awaited: Callable[[Timeline, object, int], None],
        end: Callable[[], None] = ...,
    ) -> Self: ...
    def __await__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, /, *error: Any) -> Any: ...
    def close(self) -> None: ...

@final
class WeakAttribute:
    def forget(self, reference: Any, /) -> None: ...

def codes(*codes: int) -> None: ...
def frame_layout(*numbers: int) -> None: ...
def ring_layout(*numbers: int) -> None: ...
def enter(timeline: Timeline, owner: int) -> None: ...
def leave(timeline: Timeline, owner: int) -> None: ...
def mark(timeline: Timeline, code: int, value: int) -> None: ...
def mark_at(timeline: Timeline, entry: Mark) -> None: ...
def sent(timeline: Timeline) -> None: ...
def encode_closed(
    timeline: Timeline, finish_ns: int, ids: tuple[int, int, int | None]
) -> bytes: ...
def scope(
    current_or_timeline: _Current | Timeline, wrapped: _Function, owner: int
) -> _Function: ...
def async_scope(
    current: _Current,
    wrapped: _Function,
    owner: int,
    makes_a_coroutine: bool,
    otherwise: _Function = ...,
) -> _Function: ...
def read_scope(
    current: _Current, wrapped: _Function, owner: int, owner_before_method: int
) -> _Function: ...
def handler_call(
    current: _Current, wrapped: _Function, owner: int, owner_of_closing: int, close: str
) -> _Function: ...
def noting_errors(
    wrapped: _Function, current: _Current, failed: Callable[[BaseException], None]
) -> _Function: ...
def live_receivers(
    wrapped: _Function,
    current: _Current,
    signals: Mapping[Any, Mapping[int, int]],
    otherwise: Callable[[Timeline, Any], Any],
) -> _Function: ...
def resolve(
    current: _Current,
    wrapped: _Function,
    owner: int,
    unused: int,
    numbers: Mapping[str, int],
    note_route: Callable[[Timeline, Any], None],
) -> _Function: ...
def choose_view(
    current: _Current,
    wrapped: _Function,
    unused: int,
    unused_limit: int,
    traced: Mapping[Any, Any],
    choose: Callable[[Any, Any], Any],
) -> _Function: ...
def view(
    current: _Current,
    wrapped: _Function,
    owner: int,
    name: int,
    failed: Callable[[BaseException], None],
) -> _Function: ...
def before_handler(
    current: _Current, wrapped: _Function, owner: int, handler: int, attribute: str
) -> _Function: ...
def after_handler(
    current: _Current,
    wrapped: _Function,
    owner: int,
    handler: int,
    attribute: str,
    note: Callable[[], None] = ...,
) -> _Function: ...
def sync_to_async(
    wrapped: _Function,
    current: _Current,
    sites: tuple[Mapping[tuple[int, object], int], Mapping[int, bool], Callable[[Any], int]],
) -> _Function: ...
def handoff_site(
    known: Mapping[tuple[int, object], int], ours: Mapping[int, bool], function: Any
) -> int | None: ...
def run_in_executor(
    wrapped: _Function,
    current: _Current,
    handoff: tuple[type, str, _Function, Any, PureLog, int],
) -> _Function: ...
def run_handoff(
    recorder: Any,
    log: PureLog,
    limit_ns: int,
    timeline: Timeline,
    handoff: int,
    function: Callable[[], Any],
) -> Any: ...
def run_work_item(wrapped: _Function) -> _Function: ...
def restore_context(wrapped: _Function) -> _Function: ...
def begin_bridge(timeline: Timeline, code: int, number: int) -> None: ...
def call_soon(wrapped: _Function, current: _Current) -> _Function: ...
def call_soon_threadsafe(
    wrapped: _Function, current: _Current, otherwise: _Function
) -> _Function: ...
def run_handle(
    wrapped: _Function,
    current: _Current,
    recorder: Any,
    log: PureLog,
    slow: Callable[[int, int, Timeline | None, Any], None],
    floor_ns: int,
    limit_ns: int,
    handles: type = ...,
) -> _Function: ...
def timed_callback(
    wrapped: _Function,
    current: _Current,
    recorder: Any,
    log: PureLog,
    slow: Callable[[int, int, Timeline | None, Any], None],
    floor_ns: int,
    limit_ns: int,
) -> _Function: ...
def schedule(
    wrapped: _Function,
    timed_and_plumbing: Sequence[Any],
    place: int,
    current: _Current,
    waiting: Waiting | None,
) -> _Function: ...
