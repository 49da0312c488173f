"""Marks at the edges of a call: wrappers that note when somebody's code begins and ends.

This is the hot path: a request in progress runs nothing of ours but what is here and in
`tasks.py` and `loops.py`. None of it may raise into the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import sys
from threading import get_ident as ident
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from tracer.model.clock import now
from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import ENTER, EXIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.marks import Mark
    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

_logger = logging.getLogger("tracer")
_warned: set[str] = set()
_ASYNCIO_MARK: Final = vars(asyncio.coroutines).get("_is_coroutine", object())
"""What `_is_coroutine` is of functions that asyncio takes for coroutine functions, to 3.13."""


def scoped(wrapped: Callable[..., Any], owner: int) -> Callable[..., Any]:
    """Return `wrapped` with its own time given to `owner`; a coroutine function stays one."""
    if is_coroutine_function(wrapped):
        return _async_scope(wrapped, owner)
    return _sync_scope(wrapped, owner)


def scope(
    layer: str, detail: str | None = None, part: str | None = None, phase: str | None = None
) -> Callable[[Recorder, Any], Any]:
    """Return a seam's wrapper that gives the original's own time to a fixed owner."""

    def make_wrapper(recorder: Recorder, wrapped: Any) -> Any:
        return scoped(wrapped, recorder.owner(layer, detail, part, phase))

    return make_wrapper


def is_coroutine_function(function: object) -> bool:
    """Say whether calling gives a coroutine, by any of the marks in use on 3.11 to 3.14.

    asyncio's mark is compared, not looked for: a proxy or a mock has any attribute.
    """
    if inspect.iscoroutinefunction(function):
        return True
    return getattr(function, "_is_coroutine", None) is _ASYNCIO_MARK


def _sync_scope(wrapped: Callable[..., Any], owner: int) -> Callable[..., Any]:
    if native is not None:
        made: Callable[..., Any] = native.scope(CURRENT, wrapped, owner)
        return finish_wrapper(made, wrapped)
    current = CURRENT.get

    @_wraps(wrapped)
    def in_scope(*args: Any, **kwargs: Any) -> Any:
        timeline = current()
        if timeline is None:
            return wrapped(*args, **kwargs)
        enter(timeline, owner)
        try:
            return wrapped(*args, **kwargs)
        finally:
            leave(timeline, owner)

    return in_scope


def _async_scope(wrapped: Callable[..., Any], owner: int) -> Callable[..., Any]:
    if native is not None:
        made = native.async_scope(CURRENT, wrapped, owner, _makes_a_coroutine(wrapped))
        return mark_coroutine_function(finish_wrapper(made, wrapped))
    current = CURRENT.get

    @_wraps(wrapped)
    async def in_scope(*args: Any, **kwargs: Any) -> Any:
        timeline = current()
        if timeline is None:
            return await wrapped(*args, **kwargs)
        enter(timeline, owner)
        try:
            return await wrapped(*args, **kwargs)
        finally:
            leave(timeline, owner)

    return in_scope


def finish_wrapper(made: Any, wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Give a wrapper of the accelerator's what has been hung on its function.

    Name, text and the like it asks its function for, and it needs no dictionary for `__wrapped__`:
    asgiref copies what a function has of its own with every hand-off.
    """
    own = {
        name: value
        for name, value in getattr(wrapped, "__dict__", {}).items()
        if name != "__wrapped__"
    }
    if own:
        made.__dict__.update(own)
    made.__wrapped__ = wrapped
    function: Callable[..., Any] = made
    return function


def _makes_a_coroutine(function: Callable[..., Any]) -> bool:
    """Say whether to call a function is but to make a coroutine: one may be marked, and run."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return isinstance(code, CodeType) and bool(code.co_flags & inspect.CO_COROUTINE)


def once(
    timeline: Timeline, wrapped: Callable[..., Any], owner: int, *, waits: bool = False
) -> Callable[..., Any]:
    """Return a callable for one call of a function that lives as long as the request.

    Cheaper to make than `scoped`, for what is found anew in every request; `waits`
    says that it is a coroutine function.
    """
    if native is not None and not waits:
        made: Callable[..., Any] = native.scope(timeline, wrapped, owner)
        return made
    make = _once_async if waits else _once_sync
    partial: functools.partial[Any] = functools.partial(make, timeline, wrapped, owner)
    partial.__dict__["__qualname__"] = getattr(wrapped, "__qualname__", "?")
    return partial


def once_as(
    name: str, timeline: Timeline, method: Callable[..., Any], owner: int
) -> Callable[..., Any]:
    """Return `once` of a method, to be put into its object as `name`: the call takes it out again.

    Otherwise the two would hold each other until the garbage collector comes.
    """
    return functools.partial(_once_as, name, timeline, method, owner)


def _once_as(
    name: str, timeline: Timeline, method: Callable[..., Any], owner: int, *args: Any, **kwargs: Any
) -> Any:
    if inspect.ismethod(method):
        with contextlib.suppress(AttributeError):
            delattr(method.__self__, name)
    return _once_sync(timeline, method, owner, *args, **kwargs)


def _once_sync(
    timeline: Timeline, wrapped: Callable[..., Any], owner: int, *args: Any, **kwargs: Any
) -> Any:
    enter(timeline, owner)
    try:
        return wrapped(*args, **kwargs)
    finally:
        leave(timeline, owner)


async def _once_async(
    timeline: Timeline, wrapped: Callable[..., Any], owner: int, *args: Any, **kwargs: Any
) -> Any:
    enter(timeline, owner)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        leave(timeline, owner)


def enter(timeline: Timeline, owner: int) -> None:
    """Mark that the code of `owner` begins; never raises."""
    try:
        if not timeline.full() or not timeline.fold(begins=True):
            timeline.append((ENTER, now(), ident(), owner))
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(timeline)


def leave(timeline: Timeline, owner: int) -> None:
    """Mark that the code of `owner` ends; never raises."""
    try:
        if not timeline.full() or not timeline.fold(begins=False):
            timeline.append((EXIT, now(), ident(), owner))
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(timeline)


def mark(timeline: Timeline, code: int, value: int) -> None:
    """Append a mark of now and this thread; never raises."""
    try:
        timeline.append((code, now(), ident(), value))
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(timeline)


def mark_at(timeline: Timeline, entry: Mark) -> None:
    """Append a mark of another instant; never raises."""
    try:
        timeline.append(entry)
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(timeline)


if native is not None and not TYPE_CHECKING:
    enter, leave, mark, mark_at = native.enter, native.leave, native.mark, native.mark_at


def disarm(timeline: Timeline | None, what: str = "recording a mark") -> None:
    """Take no more marks of this request, and say so once per cause."""
    if timeline is not None:
        timeline.drop()
    if what not in _warned:
        _warned.add(what)
        message = "tracer: %s failed; the request goes on untraced"
        _logger.warning(message, what, exc_info=sys.exc_info())


def attempt(what: str, action: Callable[..., Any], *args: Any) -> Any:
    """Do something of ours beside a request; None where it failed. Never raises."""
    try:
        return action(*args)
    except Exception:  # noqa: BLE001 - a request never fails because of us
        disarm(None, what)
        return None


def note_error(recorder: Recorder, error: BaseException | None) -> None:
    """Remember what exception the current request met; never raises."""
    attempt("noting an error", recorder.note_error, CURRENT.get(), error)


def mark_coroutine_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a plain function that returns a coroutine taken for a coroutine function.

    `inspect.markcoroutinefunction` itself gives back the `__func__` of what wraps a method.
    """
    function.__dict__.update(_COROUTINE_MARK)
    return function


def _coroutine_mark() -> dict[str, object]:
    if sys.version_info >= (3, 12):
        return dict(vars(inspect.markcoroutinefunction(lambda: None)))
    return {"_is_coroutine": _ASYNCIO_MARK}


_COROUTINE_MARK: Final = _coroutine_mark()


def _wraps(wrapped: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def apply(wrapper: Callable[..., Any]) -> Callable[..., Any]:
        functools.update_wrapper(wrapper, wrapped)
        if hasattr(wrapped, "__self__"):
            wrapper.__self__ = wrapped.__self__  # type: ignore[attr-defined]
        return wrapper

    return apply
