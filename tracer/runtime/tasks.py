"""Follow a task of a traced request step by step, on any event loop.

A coroutine is driven through a generator that marks each step's begin and end, so
that the time between them, in which the task is suspended, is known without a seam
in the loop's own machinery. The awaited futures pass through untouched.
"""

from __future__ import annotations

import asyncio
import functools
import types
import weakref
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import AWAITS, DONE, ROOT, SPAWN, STEP, TASK, YIELD
from tracer.runtime.loop_state import WATCHED
from tracer.runtime.recorder import installed
from tracer.runtime.scopes import attempt, disarm, mark

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

WAITING: Final = "waiting"
"""Where a watched loop keeps how many of its traced tasks wait."""

_NOTHING: Final[dict[str, Any]] = {}

_CALLBACK_DEPTH: Final = 3


async def root_track(
    recorder: Recorder,
    timeline: Timeline,
    coroutine: Coroutine[Any, Any, Any],
    settle: Callable[[], None],
) -> Any:
    """Run the coroutine in which the server calls the application; close its timeline after.

    `settle` is called before closing, to set what only the server knows by then.
    """
    CURRENT.set(timeline)
    _begin(timeline)
    try:
        return await _followed_by(coroutine, timeline, ROOT)
    finally:
        attempt("settling a request's outcome", settle)
        attempt("closing a timeline", recorder.close, timeline)
        del timeline, settle  # a cycle of Django's keeps this frame for the garbage collector


async def followed(coroutine: Coroutine[Any, Any, Any], timeline: Timeline, track: int) -> Any:
    """Run a coroutine of this request as a track of its own."""
    _begin(timeline)
    return await _followed_by(coroutine, timeline, track)


def follow_task(
    timeline: Timeline,
    coroutine: Coroutine[Any, Any, Any],
    create: Callable[..., asyncio.Task[Any]],
    **kwargs: Any,
) -> asyncio.Task[Any]:
    """Create a task by `create` whose steps are marked as a new track of `timeline`."""
    track = timeline.next_id()
    mark(timeline, SPAWN, track)
    wrapped = followed(coroutine, timeline, track)
    _take_name(wrapped, coroutine)
    task = create(wrapped, **kwargs)
    if not task.done():
        timeline.children.append((weakref.ref(task), track))
    return task


def _take_name(wrapped: Any, coroutine: Any) -> None:
    wrapped.__name__ = getattr(coroutine, "__name__", wrapped.__name__)
    wrapped.__qualname__ = getattr(coroutine, "__qualname__", wrapped.__qualname__)


def is_followed(coroutine: object) -> bool:
    """Say whether a coroutine is one of ours already."""
    return getattr(coroutine, "cr_code", None) in own_code


def _begin(timeline: Timeline) -> None:
    try:
        loop = asyncio.get_running_loop()
        recorder = installed()
        if recorder is not None:
            recorder.watch_loop(loop)
        mark(timeline, TASK, id(asyncio.current_task(loop)))
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(timeline, "following a task")


class PureWaiting:
    """How many tasks of a loop wait for something of which only `call_soon` tells its end.

    A hand-off tells by itself. So asyncio's `call_soon` is wrapped only while some traced
    task waits for anything else, as it is called four times a hand-off; uvloop's, which always is,
    looks here.
    """

    __slots__ = ("_listening", "_loop", "_plain", "count")

    def __init__(
        self,
        loop: Any = None,
        plain: Callable[..., Any] | None = None,
        listening: Callable[..., Any] | None = None,
    ) -> None:
        """Switch a loop's `call_soon` between the two; without a loop, only count."""
        self._loop = loop
        self._plain = plain
        self._listening = listening
        self.count = 0

    def begin(self) -> None:
        """One more waits."""
        if not self.count and self._loop is not None:
            self._loop.call_soon = self._listening
        self.count += 1

    def end(self) -> None:
        """One waits no longer."""
        self.count -= 1
        if not self.count and self._loop is not None:
            self._loop.call_soon = self._plain


def _followed_by(coroutine: Coroutine[Any, Any, Any], timeline: Timeline, track: int) -> Any:
    """Return an awaitable that runs the coroutine and marks its steps."""
    waiting = getattr(asyncio.get_running_loop(), WATCHED, _NOTHING).get(WAITING)
    if native is not None:
        return native.Steps(coroutine, timeline, track, waiting, _mark_awaited)
    return _steps(coroutine, timeline, track, waiting)


@types.coroutine
def _steps(
    coroutine: Coroutine[Any, Any, Any],
    timeline: Timeline,
    track: int,
    waiting: PureWaiting | None,
) -> Generator[Any, Any, Any]:
    here = ident()
    send = coroutine.send
    thrown: BaseException | None = None
    mark(timeline, STEP, track)
    try:
        while True:
            future = send(None) if thrown is None else coroutine.throw(thrown)
            mark(timeline, YIELD, id(future))
            waits = None if timeline.handing == here else waiting
            if timeline.handing == here:
                timeline.handing = 0
            elif timeline.children:
                _mark_awaited(timeline, future, track)
            if waits is not None:
                waits.begin()
            thrown = None
            try:
                yield future
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine
                thrown = error
            finally:
                if waits is not None:
                    waits.end()
            mark(timeline, STEP, track)
    except StopIteration as stop:
        return stop.value
    finally:
        del thrown
        mark(timeline, DONE, track)


def _mark_awaited(timeline: Timeline, future: object, track: int) -> None:
    """Mark which one task of this request the future waits for, if it is just one."""
    try:
        awaited = 0
        for reference, child in timeline.children:
            task = reference()
            if task is None or child == track or task.done():
                continue
            if task is future or _completes(task, future, _CALLBACK_DEPTH):
                if awaited:
                    return
                awaited = child
        if awaited:
            mark(timeline, AWAITS, awaited)
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(timeline, "finding what a task waits for")


def _completes(source: Any, target: object, depth: int) -> bool:
    """Say whether a callback of `source` refers to `target`, directly or by a future between.

    `asyncio.wait`, `wait_for`, `shield`, `gather` and `TaskGroup` all hang a callback
    on what they wait for that holds the future their caller awaits: in a closure, a
    partial, or the group. Read in CPython 3.11 to 3.14.
    """
    for entry in getattr(source, "_callbacks", None) or ():
        callback = entry[0] if isinstance(entry, tuple) else entry
        for candidate in _references(callback):
            if candidate is target:
                return True
            if (
                depth > 1
                and candidate is not source
                and asyncio.isfuture(candidate)
                and _completes(candidate, target, depth - 1)
            ):
                return True
    return False


def _references(callback: Any) -> list[Any]:
    if isinstance(callback, functools.partial):
        return list(callback.args)
    closure = getattr(callback, "__closure__", None)
    if closure:
        return [cell.cell_contents for cell in closure if _filled(cell)]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.TaskGroup):
        return [getattr(owner, "_on_completed_fut", None)]
    return []


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


Waiting = PureWaiting if TYPE_CHECKING or native is None else native.Waiting

own_code: Final = {followed.__code__, root_track.__code__}
"""Code of the coroutines that are followed already; a probe may add its own."""
