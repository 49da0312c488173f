"""How figures and names are said to a person: one way, in findings and in every report."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

ARROW = " → "

Name = TypeVar("Name", str, str | None)

_MICROSECOND = 1_000
_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000
_FEW = 10
_MANY = 100


def duration(ns: float) -> str:
    """Say a duration with two or three digits that matter, `86 µs`, `2.36 ms`."""
    sign, size = ("-" if ns < 0 else ""), abs(ns)
    if size < _MICROSECOND:
        return f"{sign}{size:.0f} ns"
    if size < _MANY * _MICROSECOND:
        return sign + _digits(size / _MICROSECOND, small=1) + " µs"
    if size < _SECOND:
        return sign + _digits(size / _MILLISECOND, small=2) + " ms"
    return sign + _digits(size / _SECOND, small=2) + " s"


def _digits(value: float, *, small: int) -> str:
    if value >= _MANY:
        return f"{value:.0f}"
    if value >= _FEW:
        return f"{value:.{small - 1}f}"
    return f"{value:.{small}f}"


def count(value: float) -> str:
    """Say a count per request: `17`, `0.25`, `1.9`."""
    nearest = round(value)
    if abs(value - nearest) < 1 / _MANY:
        return str(nearest)
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def percent(share: float) -> str:
    """Say a share: `78 %`, `0.4 %`."""
    points = abs(share) * 100
    return f"{share * 100:.1f} %" if 0 < points < 1 else f"{share * 100:.0f} %"


def plural(number: float, noun: str, many: str | None = None) -> str:
    """Say a count with its noun: `1 hand-off`, `12 hand-offs`."""
    said = count(number)
    return f"{said} {noun}" if said == "1" else f"{said} {many or noun + 's'}"


def and_others(names: Sequence[str]) -> str:
    """Name the first and count the rest: "`A` and 4 others"."""
    if not names:
        return "nothing"
    rest = len(names) - 1
    if not rest:
        return f"`{names[0]}`"
    return f"`{names[0]}` and {plural(rest, 'other')}"


def asked_by(site: str) -> str:
    """Return the code that asked for a hand-off, `module:qualname`."""
    return site.partition(ARROW)[0]


def ran_there(site: str) -> str:
    """Return what ran at the other side of a hand-off."""
    return site.partition(ARROW)[2] or site


def short(path: str, keep: int = 2) -> str:
    """Return the last parts of a dotted path, with the words before it, if any."""
    words, _, dotted = path.replace(":", ".").replace(".<locals>", "").rpartition(" ")
    last = ".".join(dotted.split(".")[-keep:])
    return f"{words.replace('_', ' ')} {last}" if words else last


def in_order(names: Sequence[Name]) -> list[Name]:
    """Return each name once, in the order of first appearance."""
    return list(dict.fromkeys(names))
