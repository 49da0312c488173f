"""`make soak`: a million requests, half of them WSGI's, half ASGI's.

    python -m tests.soak [--requests N] [--seconds S]

Prints what was sent, recorded and dropped and what worker and agent held after the first
tenth and at the end; exits 1 if something was lost or grew.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.drive import BRIEF, NAMES, soak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000, help="of both servers together")
    parser.add_argument("--seconds", type=float, help="end earlier")
    options = parser.parse_args()
    share = max(1, options.requests // len(NAMES))
    seconds = options.seconds and options.seconds / len(NAMES)
    held = BRIEF if options.seconds else {}
    wrong = []
    for interface in NAMES:
        with tempfile.TemporaryDirectory(prefix="soak-") as directory:
            soaked = soak(interface, Path(directory), share, seconds)
        sys.stdout.write(f"{soaked}\n")
        sys.stdout.flush()
        wrong += [f"{interface}: {complaint}" for complaint in soaked.complaints(**held)]
    sys.stdout.write("".join(f"WRONG {complaint}\n" for complaint in wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
