"""Requests under callgrind, one and then some portions of N.

    python -m benchmarks.counted KIND N PORTIONS

It says `ready` when it is warm, and goes on when told by a line. `os.getpgrp()` stands before,
between and after them: callgrind is told to write down what it has counted, and to begin at 0
again, whenever that function of the C library is entered.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")

from benchmarks.hosts import HOSTS

_WARMUP = 30


def main(arguments: list[str]) -> None:
    """Warm up, serve the portions."""
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
