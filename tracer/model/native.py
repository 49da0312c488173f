"""The hot path in C, where it was built for this interpreter and isn't switched off.

`TRACER_PURE=1` has everything done in Python; so does an installation without a compiler.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import ModuleType

PURE: Final = "TRACER_PURE"


def _load() -> ModuleType | None:
    if os.environ.get(PURE, "0") not in {"", "0"}:
        return None
    try:
        from tracer.model import _native  # noqa: PLC0415 - it may not be there
    except ImportError:
        return None
    return _native


native: Final = _load()
"""`tracer.model._native`, or None: then Python does the same."""
