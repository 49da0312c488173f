"""Three levels of detail at which a request's spans are told; imported by workers, so little."""

from __future__ import annotations

from typing import Final, Literal, get_args

Level = Literal["layers", "handoffs", "all"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
DEFAULT: Final[Level] = "handoffs"
