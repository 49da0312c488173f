"""Requests under callgrind, one and then some portions of N.

    python -m benchmarks.counted KIND N PORTIONS

It says `ready` when it is warm, and goes on when told by a line. `os.getpgrp()` stands before,
between and after them: callgrind is told to write down what it has counted, and to begin at 0
again, whenever that function of the C library is entered.
"""

from __future__ import annotations

import os
import sys

from benchmarks.variants import RING_DIRECTORY

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")

_WARMUP = 30
_SLOWER = 100


def at_this_pace() -> None:
    """Have what counts as long be as many times as long as all is under valgrind."""
    if RING_DIRECTORY in os.environ:
        from tracer.runtime import recorder  # noqa: PLC0415 - only where it is there, and before its probes

        recorder.LONG_NS *= _SLOWER
        recorder.OCCUPANCY_FLOOR_NS *= _SLOWER


def main(arguments: list[str]) -> None:
    """Warm up, serve the portions."""
    at_this_pace()
    from benchmarks.hosts import HOSTS  # noqa: PLC0415 - its servers bring the probes

    interface, count, portions = arguments[0], int(arguments[1]), int(arguments[2])
    host = HOSTS[interface]()
    for _ in range(_WARMUP):
        host.request()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    os.getpgrp()
    host.request()
    for _ in range(portions):
        os.getpgrp()
        for _ in range(count):
            host.request()
    os.getpgrp()


if __name__ == "__main__":
    main(sys.argv[1:])
