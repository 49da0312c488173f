"""What an agent knows right now, for whoever watches: per route and layer, as plain JSON."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.attribution.request import TO_THREAD
from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.analysis.statistics.spread import Spread
    from tracer.analysis.statistics.tally import Key, Tally

SCHEMA: Final = "tracer.live/1"
QUESTION: Final = b"live\n"
_LARGEST: Final = 1 << 26
_TIMEOUT_S: Final = 10.0


class LiveError(Exception):
    """No agent answers there; the message says why in one line."""


def snapshot(tallies: Mapping[Key, Tally] | None, lag: int) -> dict[str, Any]:
    """Return all that was concluded since the recording began; two of them can be subtracted.

    `buckets` are pairs of a duration in nanoseconds and how many requests had it, those of
    `wake_ns` how many hand-offs.
    """
    return {
        "schema": SCHEMA,
        "at_ns": time.monotonic_ns(),
        "lag": lag,
        "routes": [
            {
                **key._asdict(),
                "requests": one.requests,
                "errors": one.errors,
                "handoffs": _handoffs(one, after=False),
                "handoffs_after_response": _handoffs(one, after=True),
                "threads_started": one.threads,
                "wake_ns": _spread(one.wakes),
                "latency_ns": _spread(one.latency),
                "layers": {
                    layer: _spread(spread) for layer, spread in zip(LAYERS, one.layers, strict=True)
                },
            }
            for key, one in (tallies or {}).items()
        ],
    }


def ask(address: str | Path) -> dict[str, Any]:
    """Return the snapshot of the agent at a socket; raise `LiveError` where there is none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(address))
            connection.sendall(QUESTION)
            answer = connection.makefile("rb").readline(_LARGEST)
        found: dict[str, Any] = json.loads(answer)
    except (OSError, ValueError) as error:
        raise LiveError(f"{address}: the agent doesn't answer ({error})") from error
    return found


def idle() -> bool:
    """Say whether a processor has nothing to do: attribution waits for that, marks don't."""
    try:
        running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3]
        others = int(running.partition("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        return True
    return others < (os.cpu_count() or 1)


def _handoffs(tally: Tally, *, after: bool) -> int:
    return sum(
        seen.count
        for site, seen in tally.sites.items()
        if site.direction == TO_THREAD and site.after_response is after
    )


def _spread(spread: Spread) -> dict[str, Any]:
    return {"sum_ns": spread.total_ns, "buckets": [list(pair) for pair in spread.pairs()]}
