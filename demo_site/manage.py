#!/usr/bin/env python
"""The same as `python -m demo_site`, from wherever it is called."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from demo_site.__main__ import main

    main()
