"""What exporters encode traces to, and batches are made of."""

from __future__ import annotations

from typing import Any, NamedTuple


class TracePart(NamedTuple):
    """A trace, or a part of one too long for a batch, as its exporter takes it.

    `pid` is the worker's, `size` the number of spans.
    """

    pid: int
    size: int
    content: Any
