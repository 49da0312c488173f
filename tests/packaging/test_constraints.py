"""What the demo was measured with is pinned, and is what we say we work with."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.server import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [
    Requirement(one)
    for one in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["demo"])
]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def version_on(python, name):
    """The one version of a library that is pinned for a Python."""
    (pin,) = (
        pin
        for pin in PINS
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate({"python_version": python}))
    )
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_what_the_demo_needs_is_pinned_to_a_version_that_we_allow(asked, python):
    assert version_on(python, asked.name) in asked.specifier


def test_every_pin_is_one_version():
    for pin in PINS:
        assert [one.operator for one in pin.specifier] == ["=="]
