"""Processes of our own package, started so that they end with this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

_ROOT = Path(__file__).resolve().parents[2]


def start_child(module: str, *arguments: str, stderr: IO[bytes] | None = None) -> Child:
    """Start `python -m module` with pipes on stdin and stdout.

    The child is outside our process group, so Ctrl-C reaches only us; it must
    leave when its stdin ends, which it does however we end.
    """
    environment = dict(os.environ)
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), inherited)))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        start_new_session=True,
    )


def end_child(child: Child) -> None:
    """Kill and reap the child, and close its pipes."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was left to be flushed has no reader any more
                continue


Child = subprocess.Popen[bytes]
