"""Ids of spans: the root's is the request's own, the others follow from it.

A worker that must know an id before there is a span (a user's own spans hang from it) and
the agent that makes the span later derive the same one.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

_BYTES: Final = 8


@lru_cache(maxsize=16_384)
def mask(kind: str, layer: str, detail: str | None, more: str = "", again: int = 0) -> int:
    """Return what the request's id is to be xored with; never 0, the root's own."""
    text = "\x1f".join((kind, layer, detail or "", more, str(again)))
    return (
        int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=_BYTES).digest()) or 1
    )


def span_id(request_id: int, masked: int) -> int:
    """Return a span's id, 64 bits; 0 is nobody's, so what comes to it is the mask itself."""
    return (request_id ^ masked) or masked
