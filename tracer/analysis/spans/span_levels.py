"""Three levels of detail of a request's spans; imported by workers, so there is little here."""

from __future__ import annotations

from typing import Final, Literal, get_args

Level = Literal["layers", "handoffs", "all"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
DEFAULT: Final[Level] = "handoffs"
