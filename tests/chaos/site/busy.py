"""The demo's application, beside a thread that keeps the GIL while a file is there."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from demo_site.asgi import application

BUSY = Path(os.environ["BUSY_WHILE"])


def _spin() -> None:
    """Ask rarely: who lets the GIL go for microseconds, again and again, lets nobody have it."""
    while True:
        while BUSY.exists():
            until = time.monotonic() + 0.1
            while time.monotonic() < until:
                sum(range(10_000))
        time.sleep(0.01)


threading.Thread(target=_spin, daemon=True).start()

__all__ = ["application"]
