"""A minute of what `make soak` does for a million requests."""

from __future__ import annotations

import pytest

from tests.soak.drive import BRIEF, NAMES, soak

SECONDS = 9.0
"""Of load on each server; with starting, stopping and counting both stay under a minute."""


@pytest.mark.soak
@pytest.mark.alone
def test_nothing_grows_and_nothing_is_lost_under_steady_load(tmp_path):
    for interface in NAMES:
        (tmp_path / interface).mkdir()
        soaked = soak(interface, tmp_path / interface, 1_000_000, SECONDS)
        assert list(soaked.complaints(**BRIEF)) == [], str(soaked)
        assert soaked.sent > 200
