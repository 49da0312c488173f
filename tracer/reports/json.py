"""JSON for programs: documents of the contract, and one request a line."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

    from tracer.analysis.attribution.request import Request


def dump(document: Mapping[str, Any], stream: TextIO) -> None:
    """Write a document, indented, with a line end."""
    stream.write(_encoded(document, indent=2) + "\n")


def jsonl(requests: Iterable[Request], stream: TextIO) -> None:
    """Write one request a line."""
    stream.writelines(
        _encoded(request.to_json(), separators=(",", ":")) + "\n" for request in requests
    )


def _encoded(value: Any, **style: Any) -> str:
    """Return JSON in one piece: written bit by bit, `json` encodes in Python, ten times slower."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, **style)
    except ValueError:
        return json.dumps(finite(value), ensure_ascii=False, allow_nan=False, **style)


def finite(value: Any) -> Any:
    """Put null where a number is none: JSON has no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
