"""W3C trace context, as far as a request's identity needs it.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_INVALID_VERSION: Final = "ff"


def parse_traceparent(header: str | None) -> tuple[int | None, int | None]:
    """Return trace and parent span id of a valid header, else `(None, None)`.

    A higher version may carry more fields; version 00 has exactly four.
    """
    match = _FORM.fullmatch(header.strip()) if header else None
    if match is None:
        return None, None
    version, trace, span, _, rest = match.groups()
    if version == _INVALID_VERSION or (version == "00" and rest):
        return None, None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return None, None
    return trace_id, span_id
