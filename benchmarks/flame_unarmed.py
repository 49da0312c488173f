"""`python -m benchmarks.flame_unarmed wsgi|asgi [REQUESTS]`: what arming costs those not armed.

In one process each request is served once with nothing to arm requests, once with arming that
never comes to one, and once with arming of 1 in 1,000, in turn. So whatever else the machine
does meets all three alike. Prints JSON; latencies are those of requests that weren't armed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.capture import Keeper
from benchmarks.stats import ratio

if TYPE_CHECKING:
    from tracer.runtime.recorder import Recorder

REQUESTS: Final = 6_000
_ROUNDS: Final = 30
_WARMUP: Final = 200


class _Counter(Keeper):
    """A sink that counts frames by kind and keeps none."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: dict[int, int] = {}

    def write(self, several: list[tuple[int, bytes]], names: list[str]) -> None:
        """Count frames."""
        assert names is not None
        for kind, _ in several:
            self.counted[kind] = self.counted.get(kind, 0) + 1


def measure(interface: str, count: int) -> dict[str, Any]:
    """Serve so many requests of each kind; return medians and ratios to those without arming."""
    from tracer.launch.setup import install  # noqa: PLC0415
    from tracer.model import frames  # noqa: PLC0415 - after the environment is prepared
    from tracer.runtime.stacks.arming import Arming  # noqa: PLC0415
    from tracer.settings.flame import FlamePolicy  # noqa: PLC0415

    sink = _Counter()
    recorder = install(sink)
    assert recorder is not None
    from benchmarks.hosts import HOSTS  # noqa: PLC0415 - after what is measured

    host = HOSTS[interface]()
    kinds = {
        "nothing": None,
        "never": Arming(FlamePolicy("every", every=1_000_000_000), print),
        "1/1000 sampled": Arming(FlamePolicy("every", every=1_000, source="sampled"), print),
        "1/1000 exact": Arming(FlamePolicy("every", every=1_000, source="exact"), print),
    }
    for _ in range(_WARMUP):
        host.request()
    taken: dict[str, list[int]] = {name: [] for name in kinds}
    for _ in range(count):
        for name, arming in kinds.items():
            recorder.arming = arming
            before = sink.counted.get(frames.STACKS, 0)
            latency = host.request()
            if sink.counted.get(frames.STACKS, 0) == before:
                taken[name].append(latency)
    return _told(taken, sink.counted.get(frames.STACKS, 0), recorder)


def _told(taken: dict[str, list[int]], armed: int, recorder: Recorder) -> dict[str, Any]:
    rounds = {
        name: np.array(
            [np.median(part) for part in np.array_split(several, min(_ROUNDS, len(several)))]
        )
        for name, several in taken.items()
    }
    plain = rounds["nothing"]
    return {
        "requests": len(taken["nothing"]),
        "armed": armed,
        "accelerated": type(recorder.busy).__module__ == "tracer.model._native",
        "kinds": {
            name: {"p50_ns": float(np.median(taken[name])), "ratio_p50": ratio(several, plain)}
            for name, several in rounds.items()
        },
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    asked = int(sys.argv[2]) if len(sys.argv) > 2 else REQUESTS  # noqa: PLR2004
    print(json.dumps(measure(sys.argv[1], asked), indent=2))
