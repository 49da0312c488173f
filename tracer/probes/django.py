"""Django's request handlers: chain, resolving, view, exceptions, signals, streams.

Read in Django 4.2 to 6.1: `core/handlers/{base,asgi,wsgi,exception}.py`,
`http/response.py`, `dispatch/dispatcher.py`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from tracer import chain
from tracer.recorder import CURRENT
from tracer.scopes import disarm, enter, is_coroutine_function, leave, once, scope, scoped
from tracer.seams import Probe, Seam
from tracer.sites import NAME_ATTRIBUTE, describe
from tracer.tracks import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.recorder import Recorder
    from tracer.timeline import Timeline

SCOPE_KEY: Final = "tracer.timeline"
"""Where a server's probe puts the timeline, for servers that reset the context."""

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

    @functools.wraps(original)
    def resolve_request(self: Any, request: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, request)
        enter(timeline, owner)
        try:
            match = original(self, request)
            attempt("noting a route", _note_route, recorder, timeline, match)
            return match
        finally:
            leave(timeline, owner)

    return resolve_request


def _note_route(recorder: Recorder, timeline: Timeline, match: Any) -> None:
    timeline.route = recorder.name(str(match.route))


def _note_error(recorder: Recorder, error: BaseException | None) -> None:
    attempt("noting an error", recorder.note_error, CURRENT.get(), error)


def _make_view_atomic(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Django calls what this returns as the view, whether or not it wrapped it."""
    traced_views: dict[Any, Callable[..., Any]] = {}

    @functools.wraps(original)
    def make_view_atomic(self: Any, view: Any) -> Any:
        callback = original(self, view)
        if CURRENT.get() is None:
            return callback
        try:
            if callback is not view:
                return _trace_view(recorder, callback, view)
            traced = traced_views.get(view)
            if traced is None:
                traced = traced_views[view] = _trace_view(recorder, view, view)
        except Exception:  # noqa: BLE001 - an unhashable or odd view is called as it is
            return callback
        return traced

    return make_view_atomic


def _trace_view(recorder: Recorder, callback: Any, view: Any) -> Callable[..., Any]:
    path = describe(getattr(view, "view_class", None) or getattr(view, "cls", None) or view)
    name, owner = recorder.name(path), recorder.owner("view", path)

    def began() -> Timeline | None:
        timeline = CURRENT.get()
        if timeline is not None:
            timeline.view = name
            enter(timeline, owner)
        return timeline

    def ended(timeline: Timeline | None) -> None:
        if timeline is not None:
            leave(timeline, owner)

    traced: Callable[..., Any]
    if is_coroutine_function(callback):

        async def async_view(*args: Any, **kwargs: Any) -> Any:
            timeline = began()
            try:
                return await callback(*args, **kwargs)
            except Exception as error:
                _note_error(recorder, error)
                raise
            finally:
                ended(timeline)

        traced = async_view
    else:

        def sync_view(*args: Any, **kwargs: Any) -> Any:
            timeline = began()
            try:
                return callback(*args, **kwargs)
            except Exception as error:
                _note_error(recorder, error)
                raise
            finally:
                ended(timeline)

        traced = sync_view
    functools.update_wrapper(traced, callback)
    setattr(traced, NAME_ATTRIBUTE, path)
    return traced


def _response_for_exception(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    in_scope = scoped(original, recorder.owner("handler", "response_for_exception"))

    @functools.wraps(original)
    def response_for_exception(request: Any, exc: Any) -> Any:
        _note_error(recorder, exc)
        return in_scope(request, exc)

    return response_for_exception


def _uncaught(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle_uncaught_exception(*args: Any, **kwargs: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is not None:
            timeline.outcome = attempt("noting an error", recorder.name, "error") or 0
            _note_error(recorder, sys.exc_info()[1])
        return original(*args, **kwargs)

    return handle_uncaught_exception


def _asgi_call(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    owner = recorder.owner("handler")

    @functools.wraps(original)
    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> Any:  # noqa: N807
        timeline = CURRENT.get()
        if timeline is None:
            timeline = scope.get(SCOPE_KEY)
            if timeline is None:
                return await original(self, scope, receive, send)
            CURRENT.set(timeline)
        enter(timeline, owner)
        try:
            return await original(self, scope, receive, send)
        finally:
            leave(timeline, owner)

    return __call__


def _wsgi_call(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    owner = recorder.owner("handler")
    closing = recorder.owner("handler", "response.close")

    @functools.wraps(original)
    def __call__(self: Any, environ: Any, start_response: Any) -> Any:  # noqa: N807
        timeline = CURRENT.get()
        if timeline is None:
            return original(self, environ, start_response)
        enter(timeline, owner)
        try:
            response = original(self, environ, start_response)
        finally:
            leave(timeline, owner)
        with contextlib.suppress(AttributeError):
            response.close = once(timeline, response.close, closing)
        return response

    return __call__


def _never_a_track(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The task that waits for the client to go away is no part of any request."""
    recorder.untracked.add(original.__code__)
    return original


def _live_receivers(signal_name: str) -> Callable[[Recorder, Any], Any]:
    def stand_in(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
        from django.core import signals  # noqa: PLC0415 - imported by now

        signal = getattr(signals, signal_name)
        owners: dict[object, int] = {}

        def traced(timeline: Timeline, receiver: Any) -> Any:
            key = getattr(receiver, "__code__", None) or type(receiver)
            owner = owners.get(key)
            if owner is None:
                owner = owners[key] = recorder.owner("handler", describe(receiver))
            return once(timeline, receiver, owner)

        def live_receivers(sender: Any) -> Any:
            live = original(signal, sender)
            timeline = CURRENT.get()
            if timeline is None:
                return live
            try:
                if isinstance(live, tuple):
                    return tuple([traced(timeline, one) for one in group] for group in live)
                return [traced(timeline, one) for one in live]
            except Exception:  # noqa: BLE001 - a request never fails because of us
                disarm(None, "tracing a signal's receivers")
                return live

        return live_receivers

    return stand_in


_HANDLERS: Final = "django.core.handlers"
PROBE = Probe(
    name="django",
    seams=(
        Seam(
            f"{_HANDLERS}.base:BaseHandler.load_middleware",
            _load_middleware,
            shapes=("self, is_async",),
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
        Seam(
            f"{_HANDLERS}.exception:response_for_exception",
            _response_for_exception,
            shapes=("request, exc",),
        ),
        Seam(
            f"{_HANDLERS}.exception:handle_uncaught_exception",
            _uncaught,
            shapes=("request, resolver, exc_info",),
        ),
        Seam(
            f"{_HANDLERS}.asgi:ASGIHandler.__call__",
            _asgi_call,
            shapes=("self, scope, receive, send",),
        ),
        Seam(
            f"{_HANDLERS}.asgi:ASGIHandler.listen_for_disconnect",
            _never_a_track,
            shapes=("self, receive",),
            optional=True,
        ),
        Seam(
            f"{_HANDLERS}.asgi:ASGIHandler.read_body",
            scope("handler", "read_body"),
            shapes=("self, receive",),
        ),
        Seam(
            f"{_HANDLERS}.asgi:ASGIHandler.create_request",
            scope("handler", "create_request"),
            shapes=("self, scope, body_file",),
        ),
        Seam(
            f"{_HANDLERS}.asgi:ASGIHandler.send_response",
            scope("handler", "send_response"),
            shapes=("self, response, send",),
        ),
        Seam(
            f"{_HANDLERS}.wsgi:WSGIHandler.__call__",
            _wsgi_call,
            shapes=("self, environ, start_response",),
        ),
        Seam(
            f"{_HANDLERS}.wsgi:WSGIRequest.__init__",
            scope("handler", "create_request"),
            shapes=("self, environ",),
        ),
        *(
            Seam(
                f"django.core.signals:{signal}._live_receivers",
                _live_receivers(signal),
                shapes=("self, sender",),
            )
            for signal in ("request_started", "request_finished", "got_request_exception")
        ),
    ),
)
