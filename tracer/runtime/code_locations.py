"""Where code stands: found once for each name, never in a request's way."""

from __future__ import annotations

import functools
import inspect
import sys
from types import FunctionType
from typing import Any

from tracer.model.nametable import CodeLocation


def location_of(code: Any) -> CodeLocation | None:
    """Return file and line of a function or class, or of what an instance is one of.

    Wrappers that say what they wrap are looked through. None for what isn't Python's.
    """
    try:
        return _place(code)
    except Exception:  # noqa: BLE001 - whatever it is, it works without our knowing where
        return None


def _place(code: Any) -> CodeLocation | None:
    while isinstance(code, functools.partial):
        code = code.func
    code = inspect.unwrap(getattr(code, "__func__", code))
    if isinstance(code, FunctionType):
        return _known(code.__code__.co_filename, code.__code__.co_firstlineno)
    kind = code if isinstance(code, type) else type(code)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return None if file is None else _known(file, _line(kind, file))


def _known(file: str, line: int | None) -> CodeLocation | None:
    return None if file.startswith("<") else CodeLocation(file, line)


def _line(kind: type, file: str) -> int | None:
    """Return the line of a class; before Python 3.13 kept it, that of its first method."""
    kept: int | None = vars(kind).get("__firstlineno__")
    if kept is not None:
        return kept
    methods = [one.__code__ for one in vars(kind).values() if isinstance(one, FunctionType)]
    return min((one.co_firstlineno for one in methods if one.co_filename == file), default=None)
