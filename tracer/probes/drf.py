"""Django REST framework: the phases of `APIView.dispatch` as parts of the view.

Read in djangorestframework 3.14 to 3.18, `rest_framework/views.py`.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from tracer.model.current import CURRENT
from tracer.model.native import native
from tracer.runtime.scopes import enter, finish_wrapper, leave, note_error, scope, scoped
from tracer.runtime.seams import Probe, Seam

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder

WHOEVER: Final = ""
_HANDLER: Final = "_tracer_handling"


def _initial(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """`dispatch` calls the method's handler right after a successful `initial`."""
    owner = recorder.owner(WHOEVER, None, "initial")
    handler = recorder.owner(WHOEVER, None, "handler")
    if native is not None:
        made = native.before_handler(CURRENT, original, owner, handler, _HANDLER)
        return finish_wrapper(made, original)
    in_scope = scoped(original, owner)

    @functools.wraps(original)
    def initial(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        result = in_scope(self, request, *args, **kwargs)
        timeline = CURRENT.get()
        if timeline is not None:
            object.__setattr__(self, _HANDLER, True)
            enter(timeline, handler)
        return result

    return initial


def _after_handler(part: str) -> Callable[[Recorder, Any], Any]:
    """`dispatch` calls one of these when the handler has returned or raised."""

    def make_wrapper(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
        owner = recorder.owner(WHOEVER, None, part)
        handler = recorder.owner(WHOEVER, None, "handler")
        note = (functools.partial(_note_error, recorder),) if part == "exception" else ()
        if native is not None:
            made = native.after_handler(CURRENT, original, owner, handler, _HANDLER, *note)
            return finish_wrapper(made, original)
        in_scope = scoped(original, owner)

        @functools.wraps(original)
        def after_handler(self: Any, *args: Any, **kwargs: Any) -> Any:
            timeline = CURRENT.get()
            if timeline is not None:
                if getattr(self, _HANDLER, False):
                    object.__setattr__(self, _HANDLER, False)
                    leave(timeline, handler)
                for noting in note:
                    noting()
            return in_scope(self, *args, **kwargs)

        return after_handler

    return make_wrapper


def _note_error(recorder: Recorder) -> None:
    """Note the exception that is being handled."""
    note_error(recorder, sys.exc_info()[1])


def _part(method: str, name: str, shape: str) -> Seam:
    return Seam(
        f"rest_framework.views:APIView.{method}", scope(WHOEVER, None, name), shapes=(shape,)
    )


PROBE = Probe(
    name="djangorestframework",
    seams=(
        _part("initialize_request", "initialize", "self, request, *args, **kwargs"),
        Seam(
            "rest_framework.views:APIView.initial",
            _initial,
            shapes=("self, request, *args, **kwargs",),
        ),
        _part("perform_authentication", "authentication", "self, request"),
        _part("check_permissions", "permission", "self, request"),
        _part("check_throttles", "throttle", "self, request"),
        Seam(
            "rest_framework.views:APIView.finalize_response",
            _after_handler("finalize"),
            shapes=("self, request, response, *args, **kwargs",),
        ),
        Seam(
            "rest_framework.views:APIView.handle_exception",
            _after_handler("exception"),
            shapes=("self, exc",),
        ),
    ),
)
