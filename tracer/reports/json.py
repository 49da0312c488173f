"""JSON for programs: documents of the contract, and one request a line."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

    from tracer.analysis.request import Request


def dump(document: Mapping[str, Any], stream: TextIO) -> None:
    """Write a document, indented, with a line end."""
    json.dump(_finite(document), stream, indent=2, ensure_ascii=False, allow_nan=False)
    stream.write("\n")


def jsonl(requests: Iterable[Request], stream: TextIO) -> None:
    """Write one request a line."""
    for request in requests:
        line = _finite(request.to_json())
        json.dump(line, stream, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        stream.write("\n")


def _finite(value: Any) -> Any:
    """Put null where a number is none: JSON has no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
