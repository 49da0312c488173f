"""Figures as a person reads them, and Markdown tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_US: Final = 1_000
_MS: Final = 1_000_000
_MIB: Final = 1024 * 1024
_FINE: Final = 100


class ShortfallError(Exception):
    """Something was measured and didn't come to an end; the message says why."""


def us(ns: float) -> str:
    """Return microseconds, finer where they are few; from a millisecond on milliseconds."""
    if abs(ns) >= _MS:
        return ms(ns)
    value = ns / _US
    return f"{value:.1f} µs" if abs(value) < _FINE else f"{value:.0f} µs"


def ms(ns: float) -> str:
    """Return milliseconds."""
    return f"{ns / _MS:.2f} ms"


def mib(size: float) -> str:
    """Return mebibytes."""
    return f"{size / _MIB:.1f} MB"


def bytes_of(mebibytes: int) -> int:
    """Return the bytes of so many mebibytes."""
    return mebibytes * _MIB


def number(value: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,.0f}"


def share(value: float, digits: int = 1) -> str:
    """Return a share as percent."""
    return f"{100 * value:.{digits}f} %"


def interval(entry: dict[str, Any], show: Callable[[float], str]) -> str:
    """Return a value with the ends of its interval."""
    low, high = entry["ci95"]
    return f"{show(entry['value'])} ({show(low)} to {show(high)})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
