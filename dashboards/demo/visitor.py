"""Asks each address given for the demo's routes, a few requests a second, until it is ended.

python visitor.py http://wsgi:8000 http://asgi:8000
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import urllib.request

PATHS = ("/test/", "/test/", "/drf/", "/queries/", "/async/", "/sleep/", "/gather/", "/raises/")
LOOP_HOGS = ("/block/?ms=20",)
PAUSE_S = 0.15


def visit(address: str, paths: tuple[str, ...], pause_s: float) -> None:
    """Ask for one path after the other; an answer that is an error is one too."""
    while True:
        for path in paths:
            with contextlib.suppress(OSError), urllib.request.urlopen(address + path) as answer:
                answer.read()
            time.sleep(pause_s)


def main(addresses: list[str]) -> None:
    """Have two visitors at each address, and one that holds the loop up now and then."""
    every = [
        threading.Thread(target=visit, args=(address, paths, pause_s), daemon=True)
        for address in addresses
        for paths, pause_s in ((PATHS, PAUSE_S), (PATHS, PAUSE_S), (LOOP_HOGS, 10 * PAUSE_S))
    ]
    for one in every:
        one.start()
    for one in every:
        one.join()


if __name__ == "__main__":
    main(sys.argv[1:])
