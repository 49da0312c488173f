"""A part of what `make soak` does for a million requests."""

from __future__ import annotations

import pytest

from tests.soak.drive import BRIEF, NAMES, soak

SECONDS = 9.0
"""Of load on each server; with starting, stopping and counting both stay under a minute."""
FEW = 200


@pytest.mark.parametrize("interface", NAMES)
def test_nothing_is_lost_under_a_little_load(interface, tmp_path):
    soaked = soak(interface, tmp_path, FEW, stretches=4)
    assert (soaked.wrong, soaked.dropped) == (0, 0), str(soaked)
    assert soaked.sent == soaked.recorded == FEW


@pytest.mark.slow
@pytest.mark.parametrize("interface", NAMES)
def test_nothing_grows_and_nothing_is_lost_under_steady_load(interface, tmp_path):
    soaked = soak(interface, tmp_path, 1_000_000, SECONDS)
    assert list(soaked.complaints(**BRIEF)) == [], str(soaked)
    assert soaked.sent > FEW
