"""On the path of a server whose tasks, hand-offs and threads are counted."""

from __future__ import annotations

import os
import sys

if os.environ.get("TEST_COUNT"):
    sys.path.insert(0, os.environ["TEST_COUNT"])
    from tests.observer.site import counting

    counting.install()
