"""Follow a task of a traced request step by step, on any event loop.

A coroutine is driven by another that marks each step's begin and end, so that the time
between them, in which the task is suspended, is known without a seam in the loop's own
machinery. Awaited futures and values sent in pass through untouched.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Coroutine
from threading import get_ident as ident
from typing import TYPE_CHECKING, Any, Final

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import AWAITS, DONE, ROOT, SPAWN, STEP, TASK, YIELD
from tracer.runtime.loop_state import WATCHED
from tracer.runtime.recorder import installed
from tracer.runtime.scopes import attempt, disarm, mark

if TYPE_CHECKING:
    import types
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

WAITING: Final = "waiting"
"""Where a watched loop keeps how many of its traced tasks wait."""

_NOTHING: Final[dict[str, Any]] = {}

_CALLBACK_DEPTH: Final = 3
_OVER: Final = -1


def root_track(
    recorder: Recorder,
    timeline: Timeline,
    coroutine: Coroutine[Any, Any, Any],
    settle: Callable[[], None],
) -> Any:
    """Return the coroutine in which the server calls the application; its end closes the timeline.

    `settle` is called before closing, to set what only the server knows by then.
    """
    end = functools.partial(_end_root, recorder, timeline, settle)
    return Steps(coroutine, timeline, ROOT, _begin_root, _mark_awaited, end)


def _begin_root(timeline: Timeline) -> PureWaiting | None:
    CURRENT.set(timeline)
    return begin_track(timeline)


def _end_root(recorder: Recorder, timeline: Timeline, settle: Callable[[], None]) -> None:
    attempt("settling a request's outcome", settle)
    attempt("closing a timeline", recorder.close, timeline)


def followed(
    coroutine: Coroutine[Any, Any, Any],
    timeline: Timeline,
    track: int,
    begin: Callable[[Timeline], PureWaiting | None] | None = None,
) -> Any:
    """Return a coroutine that runs one of this request's as a track of its own.

    `begin` is called at its first step and returns what counts the loop's waiting tasks.
    """
    return Steps(coroutine, timeline, track, begin or begin_track, _mark_awaited)


def follow_task(
    timeline: Timeline,
    coroutine: Coroutine[Any, Any, Any],
    create: Callable[..., asyncio.Task[Any]],
    **kwargs: Any,
) -> asyncio.Task[Any]:
    """Create a task by `create` whose steps are marked as a new track of `timeline`."""
    track = timeline.next_id()
    mark(timeline, SPAWN, track)
    task = create(followed(coroutine, timeline, track), **kwargs)
    if not task.done():
        timeline.children.append((weakref.ref(task), track))
    return task


def is_followed(coroutine: object) -> bool:
    """Say whether a coroutine is one of ours already."""
    return type(coroutine) is Steps


def begin_track(timeline: Timeline) -> PureWaiting | None:
    """Watch the loop and mark the task that runs a track; return what counts its waiting tasks."""
    try:
        loop = asyncio.get_running_loop()
        recorder = installed()
        if recorder is not None:
            recorder.watch_loop(loop)
        mark(timeline, TASK, id(asyncio.current_task(loop)))
        waiting: PureWaiting | None = getattr(loop, WATCHED, _NOTHING).get(WAITING)
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(timeline, "following a task")
        return None
    return waiting


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


class PureSteps(Coroutine[Any, Any, Any]):
    """Drives a coroutine and marks where each of its steps begins and ends.

    It is a coroutine itself, and not one that awaits the other: one that is cancelled before its
    first step would never come to that, and the other be told to be one that nobody awaited.
    """

    __slots__ = (
        *("_begin", "_begun", "_coroutine", "_end", "_mark_awaited", "_timeline", "_track"),
        *("_waiting", "_waits"),
    )

    def __init__(  # noqa: PLR0913, PLR0917 - as in C
        self,
        coroutine: Coroutine[Any, Any, Any],
        timeline: Timeline,
        track: int,
        begin: Callable[[Timeline], PureWaiting | None],
        mark_awaited: Callable[[Timeline, object, int], None],
        end: Callable[[], None] | None = None,
    ) -> None:
        """Follow a coroutine; `begin` is called at its first step, `end` when it is over."""
        self._coroutine, self._timeline, self._track = coroutine, timeline, track
        self._begin, self._mark_awaited, self._end = begin, mark_awaited, end
        self._waiting: PureWaiting | None = None
        self._begun = self._waits = False

    def __getattr__(self, name: str) -> Any:
        """Give what the coroutine says of itself."""
        return getattr(self._coroutine, name)

    def __await__(self) -> Any:
        """Be awaited as the coroutine would be."""
        return self

    def __iter__(self) -> Any:
        """Be an iterator."""
        return self

    def __next__(self) -> Any:
        """Take a step."""
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Take a step."""
        if not self._begun:
            self._begun = True
            self._waiting = self._begin(self._timeline)
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Take a step that raises."""
        return self._step(self._coroutine.throw, *error)

    def close(self) -> None:
        """End the coroutine."""
        try:
            self._coroutine.close()
        finally:
            self._is_over()

    def __del__(self) -> None:
        """End it where nobody will."""
        if self._begun and self._track >= 0:
            self.close()

    def _step(self, advance: Callable[..., Any], *given: Any) -> Any:
        self._waits_no_longer()
        if self._begun:
            mark(self._timeline, STEP, self._track)
        try:
            future = advance(*given)
        except BaseException:
            self._is_over()
            raise
        self._yielded(future)
        return future

    def _yielded(self, future: Any) -> None:
        timeline = self._timeline
        mark(timeline, YIELD, id(future))
        if timeline.handing == ident():
            timeline.handing = 0
            return
        if timeline.children:
            self._mark_awaited(timeline, future, self._track)
        if self._waiting is not None:
            self._waits = True
            self._waiting.begin()

    def _waits_no_longer(self) -> None:
        if self._waits and self._waiting is not None:
            self._waits = False
            self._waiting.end()

    def _is_over(self) -> None:
        self._waits_no_longer()
        track, self._track = self._track, _OVER
        if track != _OVER and self._begun:
            mark(self._timeline, DONE, track)
        end, self._end = self._end, None
        if end is not None:
            end()


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


if TYPE_CHECKING or native is None:
    Waiting, Steps = PureWaiting, PureSteps
else:
    Waiting, Steps = native.Waiting, native.Steps
