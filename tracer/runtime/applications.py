"""How an ASGI server calls its application: exceptions are noted, times added to the response."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.runtime.scopes import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder


def noting_errors(recorder: Recorder) -> Callable[[Any], Any]:
    """Return how to call an application so that its exceptions are noted."""
    failed = functools.partial(attempt, "noting an error", _note_error, recorder)

    def noting(app: Any) -> Any:
        if native is not None:
            return native.noting_errors(app, CURRENT, failed)

        async def application(scope: Any, receive: Any, send: Any) -> Any:
            try:
                return await app(scope, receive, send)
            except Exception as error:
                failed(error)
                raise

        return application

    return _of_the_last(noting)


def adding_server_timing(recorder: Recorder) -> Callable[[Any], Any]:
    """Return how to call an application so that its response has a `Server-Timing` header."""
    from tracer.runtime.server_timing import ServerTiming  # noqa: PLC0415 - few ask for it

    timing = ServerTiming(recorder)
    noting = noting_errors(recorder)

    def timed(app: Any) -> Any:
        inner = noting(app)

        def application(scope: Any, receive: Any, send: Any) -> Any:
            timeline = CURRENT.get()
            timed_send = send if timeline is None else timing.sending(timeline, send)
            return inner(scope, receive, timed_send)

        return application

    return _of_the_last(timed)


def _of_the_last(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make once what a server's application needs: it has one, and gives it with each request."""
    last: tuple[Any, Any] = (None, None)

    def made_of(app: Any) -> Any:
        nonlocal last
        known, made = last
        if known is not app:
            made = make(app)
            last = (app, made)
        return made

    return made_of


def _note_error(recorder: Recorder, error: Exception) -> None:
    timeline = CURRENT.get()
    if timeline is not None:
        timeline.outcome = recorder.name("error")
        recorder.note_error(timeline, error)
