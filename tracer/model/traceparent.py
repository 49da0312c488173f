"""W3C trace context, as far as a request's identity and its sampling need it.

https://www.w3.org/TR/trace-context/#traceparent-header, and of `tracestate` what
OpenTelemetry's probability sampling keeps under the key `ot`:
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

ReadHeaders = Callable[[], dict[str, str]]
"""Gives a request's `traceparent` and `tracestate`, those it has."""

_LENGTH: Final = 55
_DASHES: Final = 3
_HEX: Final = b"0123456789abcdef"
_INVALID_VERSION: Final = "ff"
_SAMPLED: Final = frozenset("13579bdf")
"""Last digits of flags of which the lowest bit is set."""

_PRECISION: Final = 14
_SPACE: Final = 16**_PRECISION
_LONGEST_STATE: Final = 8192


class Headers:
    """Names of the headers that a request's context is in, as each server spells them."""

    def __init__(self) -> None:
        """Begin with W3C's."""
        self.lower: set[str] = set()
        self.upper: set[str] = set()
        self.raw: set[bytes] = set()
        self.add("traceparent", "tracestate")

    def add(self, *names: str) -> None:
        """Have more of them read."""
        for name in names:
            self.lower.add(name.lower())
            self.upper.add(name.upper())
            self.raw.add(name.lower().encode("latin-1"))


HEADERS: Final = Headers()


Parent = tuple[int, int, bool]
"""The caller's trace, its span, and whether the caller records it."""


def parse_traceparent(header: str | None) -> Parent | None:
    """Return what a valid header says, else None.

    A higher version may carry more fields; version 00 has exactly four.
    """
    text = header.strip() if header else ""
    fixed, rest = text[:_LENGTH], text[_LENGTH:]
    if len(fixed) != _LENGTH or fixed.count("-") != _DASHES or not _is_hex(fixed, b"-"):
        return None
    if not fixed[2] == fixed[35] == fixed[52] == "-" or fixed[:2] == _INVALID_VERSION:
        return None
    if rest and (fixed[:2] == "00" or rest[0] != "-"):
        return None
    trace_id, span_id = int(fixed[3:35], 16), int(fixed[36:52], 16)
    if not trace_id or not span_id:
        return None
    return trace_id, span_id, fixed[54] in _SAMPLED


def parse_probability(tracestate: str | None) -> tuple[int | None, int | None]:
    """Return rejection threshold (`th`) and explicit randomness (`rv`), 56 bits each.

    What is missing or malformed is None.
    """
    if not tracestate or len(tracestate) > _LONGEST_STATE:
        return None, None
    threshold = randomness = None
    for member in tracestate.split(","):
        key, _, value = member.strip(" \t").partition("=")
        if key != "ot":
            continue
        for entry in value.split(";"):
            name, _, digits = entry.partition(":")
            if name == "th" and 0 < len(digits) <= _PRECISION and _is_hex(digits):
                threshold = int(digits.ljust(_PRECISION, "0"), 16)
            elif name == "rv" and len(digits) == _PRECISION and _is_hex(digits):
                randomness = int(digits, 16)
    return threshold, randomness


@lru_cache(maxsize=1024)
def _threshold(weight: float) -> int:
    return _SPACE - round(_SPACE / weight)


def tracestate_of(weight: float | None, trace_id: int) -> str:
    """Return what says how many requests one stands for, as in `ot=th:8`; empty where unknown.

    Readers hold the threshold against the trace id. One that was decided by other
    randomness than this would be taken for a mistake, so then it isn't said.
    """
    if weight is None or not weight >= 1:
        return ""
    threshold = _threshold(weight)
    if trace_id % _SPACE < threshold or threshold == _SPACE:
        return ""
    return f"ot=th:{f'{threshold:0{_PRECISION}x}'.rstrip('0') or '0'}"


def _is_hex(text: str, besides: bytes = b"") -> bool:
    """Say whether there are but lower-case hex digits; no regex runs inside a request."""
    return not text.encode("utf-8", "replace").translate(None, _HEX + besides)
