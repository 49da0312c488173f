"""Django's ASGI and WSGI handlers: the request built, exceptions, signals, the answer sent.

Read in Django 4.2 to 6.1: `core/handlers/{asgi,wsgi,exception}.py`, `dispatch/dispatcher.py`.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.runtime.call_sites import describe
from tracer.runtime.scopes import (
    attempt,
    disarm,
    enter,
    finish_wrapper,
    is_coroutine_function,
    leave,
    mark_coroutine_function,
    note_error,
    once,
    once_as,
    scope,
    scoped,
)
from tracer.runtime.seams import Probe, Seam

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.runtime.recorder import Recorder

SCOPE_KEY: Final = "tracer.timeline"
"""Where a server's probe puts the timeline, for servers that reset the context."""


def _response_for_exception(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    in_scope = scoped(original, recorder.owner("handler", "response_for_exception"))

    @functools.wraps(original)
    def response_for_exception(request: Any, exc: Any) -> Any:
        note_error(recorder, exc)
        return in_scope(request, exc)

    return response_for_exception


def _uncaught(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle_uncaught_exception(*args: Any, **kwargs: Any) -> Any:
        timeline = CURRENT.get()
        if timeline is not None:
            timeline.outcome = attempt("noting an error", recorder.name, "error") or 0
            note_error(recorder, sys.exc_info()[1])
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

    if native is not None:
        made = native.async_scope(CURRENT, original, owner, True, __call__)  # noqa: FBT003 - it is C
        return mark_coroutine_function(finish_wrapper(made, original))
    return __call__


def _wsgi_call(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    owner = recorder.owner("handler")
    closing = recorder.owner("handler", "response.close")
    if native is not None:
        made = native.handler_call(CURRENT, original, owner, closing, "close")
        return finish_wrapper(made, original)

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
        try:  # noqa: SIM105 - half the price of a context manager
            response.close = once_as("close", timeline, response.close, closing)
        except AttributeError:
            pass
        return response

    return __call__


def _never_a_track(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """The task that waits for the client to go away is no part of any request."""
    recorder.untracked.add(original.__code__)
    return original


class _Receivers:
    """Gives a signal's receivers an owner each; known by their code's address, which is kept."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: dict[int, tuple[object, int, bool]] = {}
        self.plain: dict[int, int] = {}

    def traced(self, timeline: Timeline, live: Any) -> Any:
        """Return wrappers for one sending of the signal: lists, where Django has several."""
        try:
            if isinstance(live, tuple):
                return tuple([[self._traced(timeline, one) for one in group] for group in live])
            return [self._traced(timeline, one) for one in live]
        except Exception:  # noqa: BLE001 - a request never fails because of us
            disarm(None, "tracing a signal's receivers")
            return live

    def _traced(self, timeline: Timeline, receiver: Any) -> Any:
        code = getattr(receiver, "__code__", None) or type(receiver)
        found = self._known.get(id(code))
        if found is None:
            name = describe(receiver)
            self._recorder.place(name, receiver)
            owner = self._recorder.owner("handler", name)
            found = self._known[id(code)] = (code, owner, is_coroutine_function(receiver))
            if not found[2]:
                self.plain[id(code)] = owner
        return once(timeline, receiver, found[1], waits=found[2])


def _live_receivers(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """On the class: an attribute of its own costs a signal the quick way to all of its others."""
    from django.core import signals  # noqa: PLC0415 - imported by now

    heard = (signals.request_started, signals.request_finished, signals.got_request_exception)
    receivers = _Receivers(recorder)
    if native is not None:
        known = dict.fromkeys(heard, receivers.plain)
        made = native.live_receivers(original, CURRENT, known, receivers.traced)
        return finish_wrapper(made, original)

    @functools.wraps(original)
    def _live_receivers(self: Any, sender: Any) -> Any:
        live, timeline = original(self, sender), CURRENT.get()
        if timeline is None or not any(self is signal for signal in heard):
            return live
        return receivers.traced(timeline, live)

    return _live_receivers


_HANDLERS: Final = "django.core.handlers"
PROBE = Probe(
    name="django_handlers",
    seams=(
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
        Seam(
            "django.core.signals:Signal._live_receivers",
            _live_receivers,
            shapes=("self, sender",),
        ),
    ),
)
