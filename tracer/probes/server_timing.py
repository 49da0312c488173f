"""The `Server-Timing` header under WSGI: seams that are there only where it was asked for.

Read in gunicorn 20 to 27, `http/wsgi.py`, and Python 3.11 to 3.14, `wsgiref/handlers.py`.
Under ASGI it goes with the first message of the response, see uvicorn's probe.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tracer.model.current import CURRENT
from tracer.runtime.scopes import attempt
from tracer.runtime.seams import Probe, Seam
from tracer.runtime.server_timing import NAME, ServerTiming

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder


def _send_headers(add: Callable[[Any, str], None]) -> Callable[[Recorder, Any], Any]:
    def make_wrapper(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
        timing = ServerTiming(recorder)

        @functools.wraps(original)
        def send_headers(self: Any) -> Any:
            if not self.headers_sent:
                said = timing.value(CURRENT.get())
                if said is not None:
                    attempt("adding Server-Timing", add, self.headers, said)
            return original(self)

        return send_headers

    return make_wrapper


def _append(headers: list[tuple[str, str]], value: str) -> None:
    headers.append((NAME, value))


def _add(headers: Any, value: str) -> None:
    headers.add_header(NAME, value)


PROBE = Probe(
    name="server_timing",
    seams=(
        Seam("gunicorn.http.wsgi:Response.send_headers", _send_headers(_append), shapes=("self",)),
        Seam(
            "django.core.servers.basehttp:ServerHandler.send_headers",
            _send_headers(_add),
            shapes=("self",),
        ),
    ),
)
