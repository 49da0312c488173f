"""Random bits for ids and sampling, from a generator that no application knows of."""

from __future__ import annotations

import os
from random import Random
from typing import Final

_generator: Final = Random()  # noqa: S311 - ids, not secrets; seeded from the system's entropy
random_bits: Final = _generator.getrandbits
"""Returns an integer of so many random bits. A forked child draws others than its parent."""

os.register_at_fork(after_in_child=_generator.seed)
