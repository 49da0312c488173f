"""When a recording is ended and the next one begun, as the operator asked for it."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracer.settings.sampling import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE: Final = "TRACER_ROTATE_SIZE"
AGE: Final = "TRACER_ROTATE_AGE"
VARIABLES: Final = (SIZE, AGE)

_BYTES: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LEAST: Final = 100_000
"""An empty recording takes half of it, and each rotation has its price."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a recording is ended and the next one begun: bytes, seconds, None for never."""

    size: int | None = None
    age_s: float | None = None

    def is_due(self, path: Path, age_s: float) -> bool:
        """Say whether the recording at `path` is as large or as old as one shall be."""
        if self.age_s is not None and age_s >= self.age_s:
            return True
        if self.size is None:
            return False
        with contextlib.suppress(OSError):
            log = Path(f"{path}-wal")
            return path.stat().st_size + log.stat().st_size >= self.size
        return False


def read_rotation(environ: Mapping[str, str]) -> tuple[Rotation, list[Problem]]:
    """Return what an environment asks for, and what of it can't be used."""
    problems: list[Problem] = []
    size = age_s = None
    if environ.get(SIZE):
        size = _quantity(environ[SIZE], _BYTES)
        if not size or size < _LEAST:
            size = None
            problems.append(Problem(SIZE, f"{environ[SIZE]!r} is no size from 100kB on, as 500MB"))
    if environ.get(AGE):
        age_s = _quantity(environ[AGE], _SECONDS)
        if not age_s or age_s < 1:
            age_s = None
            problems.append(Problem(AGE, f"{environ[AGE]!r} is no age from 1s on, as 30m or 24h"))
    return Rotation(None if size is None else round(size), age_s), problems


def _quantity(text: str, units: Mapping[str, int]) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip(), re.ASCII)
    known = {name.lower(): factor for name, factor in units.items()}
    factor = known.get(found[2].lower()) if found else None
    number = float(found[1]) * factor if found and factor else math.inf
    return number if math.isfinite(number) else None
