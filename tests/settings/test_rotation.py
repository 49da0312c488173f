from __future__ import annotations

import pytest

from tracer.settings.rotation import AGE, SIZE, Rotation, read_rotation


@pytest.mark.parametrize(
    ("size", "age", "meant"),
    [
        ("", "", Rotation()),
        ("500MB", "24h", Rotation(500_000_000, 86_400)),
        ("100kB", "1s", Rotation(100_000, 1)),
        (" 1.5 gb ", "0.5m", Rotation(1_500_000_000, 30)),
        ("2TB", "7D", Rotation(2 * 10**12, 7 * 86_400)),
    ],
)
def test_sizes_and_ages_are_read(size, age, meant):
    assert read_rotation({SIZE: size, AGE: age}) == (meant, [])


@pytest.mark.parametrize(
    "text", ["500", "MB", "-1MB", "99kB", "1e9GB", "nanGB", "٣MB", "1MiB", "1d"]
)
def test_what_is_no_size_is_said_and_left_out(text):
    rotation, ((variable, reason),) = read_rotation({SIZE: text, AGE: "1h"})
    assert (rotation, variable) == (Rotation(None, 3_600), SIZE)
    assert reason == f"{text!r} is no size from 100kB on, as 500MB"


@pytest.mark.parametrize("text", ["24", "h", "-1h", "0s", "0.9s", "1w", "500ms", f"{'9' * 400}d"])
def test_what_is_no_age_is_said_and_left_out(text):
    rotation, ((variable, reason),) = read_rotation({SIZE: "1GB", AGE: text})
    assert (rotation, variable) == (Rotation(10**9), AGE)
    assert reason == f"{text!r} is no age from 1s on, as 30m or 24h"
