"""What code of any layer does with Django: render, query, connect, cache, stream.

These are parts of whoever does them; they take no time from anybody.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from tracer.model.current import CURRENT
from tracer.model.timeline import CONNECT, STREAM
from tracer.runtime.scopes import attempt, mark, scope, scoped
from tracer.runtime.seams import Probe, Seam
from tracer.runtime.streams import Pulls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tracer.runtime.recorder import Recorder

WHOEVER: Final = ""
"""The layer of an owner that is a part of the code around it."""

_CACHE_METHODS: Final = (
    "add", "get", "set", "touch", "delete", "get_many", "set_many", "delete_many",
    "get_or_set", "has_key", "incr", "decr", "clear",
)  # fmt: skip


def _connect(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    in_scope = scoped(original, recorder.owner(WHOEVER, None, "connect"))

    @functools.wraps(original)
    def connect(self: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is not None:
            mark(timeline, CONNECT, 0)
        return in_scope(self)

    return connect


def _create_cache(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Backends override every method of their base: only the instance sees them all."""
    owner = recorder.owner(WHOEVER, None, "cache")

    @functools.wraps(original)
    def create_connection(self: Any, alias: str) -> Any:
        cache = original(self, alias)
        attempt("tracing a cache", _trace_cache, cache, owner)
        return cache

    return create_connection


def _trace_cache(cache: Any, owner: int) -> None:
    for method in _CACHE_METHODS:
        if hasattr(cache, method):
            setattr(cache, method, scoped(getattr(cache, method), owner))


def _streaming_content(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever sets a response's iterator owns what the iterator does when it is pulled."""

    @functools.wraps(original)
    def _set_streaming_content(self: Any, value: Any) -> None:
        original(self, value)
        timeline = CURRENT.get()
        if timeline is None:
            return
        timeline.streams += 1
        mark(timeline, STREAM, timeline.streams)
        wrapper = _AsyncStream if getattr(self, "is_async", False) else _Stream
        self._iterator = wrapper(self._iterator, Pulls(timeline, timeline.streams))

    return _set_streaming_content


class _Stream:
    """An iterator whose every step is a part of whoever made it."""

    def __init__(self, iterator: Iterator[Any], pulls: Pulls) -> None:
        self._iterator = iterator
        self._pulls = pulls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        began = self._pulls.begin()
        try:
            chunk = next(self._iterator)
        except BaseException:
            self._pulls.end(began, last=True)
            raise
        self._pulls.end(began)
        return chunk


class _AsyncStream:
    """An asynchronous iterator whose every step is a part of whoever made it."""

    def __init__(self, iterator: AsyncIterator[Any], pulls: Pulls) -> None:
        self._iterator = iterator
        self._pulls = pulls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)

    def __aiter__(self) -> _AsyncStream:
        return self

    async def __anext__(self) -> Any:
        began = self._pulls.begin()
        try:
            chunk = await anext(self._iterator)
        except BaseException:
            self._pulls.end(began, last=True)
            raise
        self._pulls.end(began)
        return chunk


PROBE = Probe(
    name="django_parts",
    seams=(
        Seam(
            "django.template.response:SimpleTemplateResponse.render",
            scope("view", None, "render"),
            shapes=("self",),
        ),
        Seam(
            "django.template.backends.django:Template.render",
            scope(WHOEVER, None, "template"),
            shapes=("self, context, request",),
        ),
        Seam(
            "django.template.backends.jinja2:Template.render",
            scope(WHOEVER, None, "template"),
            shapes=("self, context, request",),
        ),
        Seam(
            "django.db.backends.utils:CursorWrapper.execute",
            scope(WHOEVER, None, "query"),
            shapes=("self, sql, params",),
        ),
        Seam(
            "django.db.backends.utils:CursorWrapper.executemany",
            scope(WHOEVER, None, "query"),
            shapes=("self, sql, param_list",),
        ),
        Seam(
            "django.db.backends.utils:CursorWrapper.callproc",
            scope(WHOEVER, None, "query"),
            shapes=("self, procname, params, kparams",),
        ),
        Seam(
            "django.db.backends.base.base:BaseDatabaseWrapper.connect", _connect, shapes=("self",)
        ),
        Seam(
            "django.core.cache:CacheHandler.create_connection",
            _create_cache,
            shapes=("self, alias",),
        ),
        Seam(
            "django.utils.functional:SimpleLazyObject._setup",
            scope(WHOEVER, None, "lazy"),
            shapes=("self",),
        ),
        Seam(
            "django.http.response:StreamingHttpResponse._set_streaming_content",
            _streaming_content,
            shapes=("self, value",),
        ),
    ),
)
