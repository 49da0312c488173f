"""On the path of a traced server: every seam that `TEST_REFUSE` matches has an unknown shape."""

from __future__ import annotations

import os
import re


def _refuse(pattern):
    from tracer.runtime import seams

    install, check = seams.Installation._install, seams.check_shape
    current = [""]

    def _install(self, seam, probe):
        current[0] = seam.target
        install(self, seam, probe)

    def check_shape(raw, shapes):
        if re.search(pattern, current[0]):
            raise seams.ShapeError("takes (what, nobody, knows)")
        check(raw, shapes)

    seams.Installation._install = _install
    seams.check_shape = check_shape


if os.environ.get("TEST_REFUSE"):
    _refuse(os.environ["TEST_REFUSE"])
