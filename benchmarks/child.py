"""One variant in a process of its own, told by its parent when to serve how many requests.

    python -m benchmarks.child wsgi|asgi [PEER]

Reads `serve N` and `spans N`, a line each, and answers with a line of JSON. What the
tracer needs is in the environment, as `tracer run` would leave it there.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from time import process_time_ns
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
_SETTLE: Final = 3


def die_with_parent() -> None:
    """Be killed when the parent ends, also while stopped by it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def accelerated() -> bool | None:
    """Say whether the tracer of this process runs its C accelerator; None where it has none."""
    try:
        found = importlib.import_module("tracer.model.native").native
    except (ImportError, AttributeError):
        return None
    return found is not None


def main(arguments: list[str]) -> None:
    """Install, start the host, say so, obey."""
    die_with_parent()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    # Whatever the libraries print is not part of the conversation.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    peer = importlib.import_module(f"benchmarks.peers.{arguments[1]}") if arguments[1:] else None
    if peer is not None:
        peer.start()
    from benchmarks.hosts import HOSTS  # noqa: PLC0415 - after what is measured

    host = HOSTS[arguments[0]]()
    host.request()
    answer(
        {
            "ready": True,
            "traced": "tracer.runtime.recorder" in sys.modules,
            "accelerated": accelerated(),
        }
    )
    spent = process_time_ns()
    for line in sys.stdin:
        task, _, number = line.partition(" ")
        count = int(number)
        if task == "spans":
            read = peer.watch() if hasattr(peer, "watch") else None
            for _ in range(count):
                host.request()
            answer({"spans": None if read is None else read() / count})
            continue
        # The first find the caches full of another process: they are served, not timed.
        for _ in range(_SETTLE):
            host.request()
        taken = [host.request() for _ in range(count)]
        # From the last answer to this one, so a peer's own threads are in it as well.
        now = process_time_ns()
        answer({"latencies_ns": taken, "cpu_ns": (now - spent) / (count + _SETTLE)})
        spent = now


if __name__ == "__main__":
    main(sys.argv[1:])
