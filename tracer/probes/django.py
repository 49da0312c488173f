"""Django's own core: the middleware chain as it is built, URL resolving, the view.

Read in Django 4.2 to 6.1, `core/handlers/base.py`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.runtime import django_chain as chain
from tracer.runtime.call_sites import NAME_ATTRIBUTE, describe
from tracer.runtime.scopes import (
    attempt,
    enter,
    finish_wrapper,
    is_coroutine_function,
    leave,
    note_error,
)
from tracer.runtime.seams import Probe, Seam

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

_building: list[str | None] = []
"""The dotted path of the link being built, while `load_middleware` runs."""


def _load_middleware(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def load_middleware(self: Any, *args: Any, **kwargs: Any) -> Any:
        _building.append(None)
        try:
            return original(self, *args, **kwargs)
        finally:
            _building.pop()

    return load_middleware


def _import_string(_recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def import_string(dotted_path: str) -> Any:
        if _building:
            _building[-1] = dotted_path
        return original(dotted_path)

    return import_string


def _convert(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Every link of the chain passes here while `load_middleware` runs."""

    @functools.wraps(original)
    def convert_exception_to_response(get_response: Any) -> Any:
        if not _building:
            return original(get_response)
        path = _building[-1]
        if path is None:
            inner = original(get_response)
            return attempt("tracing the chain", chain.trace_innermost, recorder, inner) or inner
        trace = chain.trace_middleware
        traced = attempt(f"tracing {path}", trace, recorder, get_response, path)
        return chain.named(original(traced or get_response), path)

    return convert_exception_to_response


def _adapt(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def adapt_method_mode(self: Any, is_async: Any, method: Any, *args: Any, **kwargs: Any) -> Any:
        path = _building[-1] if _building else None
        if path is not None and chain.is_hook(method):
            traced = attempt(
                f"tracing {path}", chain.trace_method, recorder, method, path, method.__name__
            )
            method = traced or method
        return original(self, is_async, method, *args, **kwargs)

    return adapt_method_mode


def _resolve(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    owner = recorder.owner("handler", "resolve_request")
    note = functools.partial(attempt, "noting a route", _note_route, recorder)
    if native is not None:
        made = native.resolve(CURRENT, original, owner, 0, recorder.names, note)
        return finish_wrapper(made, original)

    @functools.wraps(original)
    def resolve_request(self: Any, request: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, request)
        enter(timeline, owner)
        try:
            match = original(self, request)
            note(timeline, match)
            return match
        finally:
            leave(timeline, owner)

    return resolve_request


def _note_route(recorder: Recorder, timeline: Timeline, match: Any) -> None:
    timeline.route = recorder.name(str(match.route))


def _make_view_atomic(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Django calls what this returns as the view, whether or not it wrapped it."""
    traced_views: dict[Any, Callable[..., Any]] = {}

    def choose(view: Any, callback: Any) -> Callable[..., Any]:
        if callback is not view:
            return _trace_view(recorder, callback, view)
        traced = traced_views.get(view)
        if traced is None:
            if len(traced_views) >= _MOST_VIEWS:  # views that are made anew for each request
                traced_views.clear()
            traced = traced_views[view] = _trace_view(recorder, view, view)
        return traced

    if native is not None:
        made = native.choose_view(CURRENT, original, 0, 0, traced_views, choose)
        return finish_wrapper(made, original)

    @functools.wraps(original)
    def make_view_atomic(self: Any, view: Any) -> Any:
        callback = original(self, view)
        if CURRENT.get() is None:
            return callback
        try:
            return choose(view, callback)
        except Exception:  # noqa: BLE001 - an unhashable or odd view is called as it is
            return callback

    return make_view_atomic


def _trace_view(recorder: Recorder, callback: Any, view: Any) -> Callable[..., Any]:
    code = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    path = describe(code)
    recorder.place(path, code)
    name, owner = recorder.name(path), recorder.owner("view", path)

    traced: Callable[..., Any]
    if is_coroutine_function(callback):

        async def async_view(*args: Any, **kwargs: Any) -> Any:
            timeline = CURRENT.get()
            if timeline is None:
                return await callback(*args, **kwargs)
            timeline.view = name
            enter(timeline, owner)
            try:
                return await callback(*args, **kwargs)
            except Exception as error:
                note_error(recorder, error)
                raise
            finally:
                leave(timeline, owner)

        traced = functools.update_wrapper(async_view, callback)
    elif native is not None:
        failed = functools.partial(note_error, recorder)
        traced = finish_wrapper(native.view(CURRENT, callback, owner, name, failed), callback)
    else:

        def sync_view(*args: Any, **kwargs: Any) -> Any:
            timeline = CURRENT.get()
            if timeline is None:
                return callback(*args, **kwargs)
            timeline.view = name
            enter(timeline, owner)
            try:
                return callback(*args, **kwargs)
            except Exception as error:
                note_error(recorder, error)
                raise
            finally:
                leave(timeline, owner)

        traced = functools.update_wrapper(sync_view, callback)
    traced = chain.in_frame(recorder, traced, "view", path)
    setattr(traced, NAME_ATTRIBUTE, path)
    return traced


_HANDLERS: Final = "django.core.handlers"
_MOST_VIEWS: Final = 1_000
PROBE = Probe(
    name="django",
    seams=(
        Seam(
            f"{_HANDLERS}.base:BaseHandler.load_middleware",
            _load_middleware,
            # The second is what Sentry leaves, where it came before us.
            shapes=("self, is_async", "*args, **kwargs"),
        ),
        Seam(f"{_HANDLERS}.base:import_string", _import_string, shapes=("dotted_path",)),
        Seam(f"{_HANDLERS}.base:convert_exception_to_response", _convert, shapes=("get_response",)),
        Seam(
            f"{_HANDLERS}.base:BaseHandler.adapt_method_mode",
            _adapt,
            shapes=("self, is_async, method, method_is_async, debug, name",),
        ),
        Seam(f"{_HANDLERS}.base:BaseHandler.resolve_request", _resolve, shapes=("self, request",)),
        Seam(
            f"{_HANDLERS}.base:BaseHandler.make_view_atomic",
            _make_view_atomic,
            shapes=("self, view",),
        ),
    ),
)
