"""The peers: one file each, with its usual settings, sending to a local sink.

A peer's module says `TITLE`, `DISTRIBUTION` and `REQUIREMENTS`, and has `start()`, called
before Django and the servers are imported. Where a peer has spans, `watch()` counts them
from then on and returns how to read the count. The benchmark itself imports these modules
as well, so they import their peers only in their functions.
"""

from __future__ import annotations

import os
from typing import Final

PEERS: Final = ("otel", "elastic", "sentry", "ddtrace", "pyinstrument", "viztracer")

SINK: Final = "BENCHMARK_SINK"
SCRATCH: Final = "BENCHMARK_SCRATCH"
PEER: Final = "BENCHMARK_PEER"
INTERFACE: Final = "BENCHMARK_INTERFACE"
"""What `benchmarks.peers.site` serves."""


def sink() -> str:
    """Return the URL of the receiver that discards, without a slash at its end."""
    return os.environ[SINK]


def scratch() -> str:
    """Return a folder for what a peer writes to disk."""
    return os.environ[SCRATCH]
