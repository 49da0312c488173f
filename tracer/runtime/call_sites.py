"""Names of hand-off sites: who asked, and what ran there. No stack is walked.

A site is found by two code objects, its name is made once. They are told by their
address and kept: to hash code is to hash all its constants and names.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from tracer.model.nametable import CodeLocation
from tracer.model.native import native

if TYPE_CHECKING:
    from types import FrameType

    from tracer.runtime.recorder import Recorder

NAME_ATTRIBUTE: Final = "_tracer_name"
"""Set on our wrappers to what they wrap, as people know it."""

_OWN_PACKAGE: Final = __name__.partition(".")[0]

_MOST_SEEN: Final = 20_000
"""So much code of others is kept, whose addresses tell sites apart."""


class Sites:
    """The sites seen in this process."""

    def __init__(self, recorder: Recorder) -> None:
        """Name sites in `recorder`'s table."""
        self._recorder = recorder
        self._known: dict[tuple[int, object], int] = {}
        self._ours: dict[int, bool] = {}
        self._seen: list[object] = []

    def asked(self, call: Any, variable: Any, of: Any) -> Any:
        """Return asgiref's `call` with each hand-off marked, in C; `of` tells unknown ones."""
        if native is None:
            return None
        return native.sync_to_async(call, variable, (self._known, self._ours, of))

    def of(self, function: Any) -> int:
        """Return the name id of a hand-off of `function` that is asked for right now."""
        if native is not None:
            known: int | None = native.handoff_site(self._known, self._ours, function)
            if known is not None:
                return known
        if len(self._seen) >= _MOST_SEEN:  # code that is made anew for each request
            self._known.clear()
            self._ours.clear()
            self._seen.clear()
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the way to ask who asked
        ours = self._ours
        while frame is not None:
            own = ours.get(id(frame.f_code))
            if own is None:
                own = ours[id(frame.f_code)] = _is_ours(frame)
                self._seen.append(frame.f_code)
            if not own:
                break
            frame = frame.f_back
        if frame is None:
            return self._recorder.name(f"? → {describe(function)}")
        named = getattr(function, NAME_ATTRIBUTE, None)
        ran = getattr(function, "__code__", None) or type(function)
        key = (id(frame.f_code), named or id(ran))
        site = self._known.get(key)
        if site is None:
            self._seen.append(ran)
        if site is None or (named is None and not hasattr(function, "__code__")):
            asker = f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"
            said = f"{asker} → {describe(function)}"
            site = self._recorder.name(said)
            self._recorder.place(said, CodeLocation(frame.f_code.co_filename, frame.f_lineno))
            self._known[key] = site
        return site


def describe(function: Any) -> str:
    """Return the dotted path of what a callable runs."""
    named = getattr(function, NAME_ATTRIBUTE, None)
    if named is not None:
        return str(named)
    while isinstance(function, functools.partial):
        function = function.func
    for attribute in ("func", "awaitable"):
        inner = getattr(function, attribute, None)
        if callable(inner) and not hasattr(function, "__code__"):
            return describe(inner)
    if not hasattr(function, "__qualname__"):
        function = type(function)
    module = getattr(function, "__module__", None)
    owner = getattr(function, "__self__", None)
    if owner is not None and module is None:
        module = type(owner).__module__
    return f"{module}.{function.__qualname__}" if module else str(function.__qualname__)


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name == _OWN_PACKAGE or name.startswith(_OWN_PACKAGE + ".")
