"""Keep what a worker hands over for some real requests: `python -m benchmarks.capture KIND N FILE`.

The file is JSON: the worker's description, its names, its frames (kind, base64).
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import tracer

_WARMUP: Final = 20


class Keeper:
    """A sink that keeps everything."""

    largest = 1 << 62

    def __init__(self) -> None:
        self.description: dict[str, object] = {}
        self.names: list[str] = []
        self.frames: list[tuple[int, str]] = []

    def write(self, several: list[tuple[int, bytes]], names: list[str]) -> None:
        """Keep frames and the names that came with them."""
        self.names += names
        self.frames += [(kind, base64.b64encode(frame).decode()) for kind, frame in several]

    def describe(self, document: dict[str, object]) -> None:
        """Keep what the process says of itself."""
        self.description = document

    def count(self, counts: object) -> None:
        """Leave uncounted what has no frame."""


def main(arguments: list[str]) -> None:
    """Serve, write, end."""
    interface, count, path = arguments[0], int(arguments[1]), Path(arguments[2])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    keeper: Any = Keeper()
    tracer.install(keeper)
    from benchmarks.hosts import HOSTS  # noqa: PLC0415 - after the tracer

    host = HOSTS[interface]()
    for _ in range(_WARMUP):
        host.request()
    keeper.frames.clear()
    for _ in range(count):
        host.request()
    path.write_text(json.dumps(vars(keeper), default=str), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
