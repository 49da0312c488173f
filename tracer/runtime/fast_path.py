"""What a server's wrappers in C see a request through with, of which nothing has to be found out.

Each has beside it what does the same in Python for any request: that comes first, finds out what
is asked of every request (which server, which loop, where it came in), and is asked again when
anything isn't as it was.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.model.timeline import Timeline
from tracer.runtime.connections import numbers
from tracer.runtime.scopes import finish_wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder


def service_of(recorder: Recorder, interface: str, reads: Callable[[Any], dict[str, str]]) -> Any:
    """Return a `Service`, only where there is an accelerator.

    `reads` gives the headers that matter of a head as the server has it.
    """
    given = (recorder.ending, recorder, Timeline, recorder.sequence, numbers, recorder.names)
    named = (recorder.name(interface), recorder.name("complete"))
    return native.Service(*given, functools.partial, reads, *named)  # type: ignore[union-attr]


def in_c(
    make: Any, original: Callable[..., Any], slow: Callable[..., Any], service: Any
) -> Callable[..., Any]:
    """Return what does for most requests what `slow` does for any."""
    return finish_wrapper(make(CURRENT, original, slow, service), original)
