"""What is tried again is tried whole: most tests look at figures taken once for their module."""

from __future__ import annotations

import pytest

from tracer.model.current import CURRENT
from tracer.model.timeline import Timeline


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if getattr(item, "execution_count", 1) > 1:
        for several in item._fixtureinfo.name2fixturedefs.values():
            for one in several:
                if one.scope == "module":
                    one.finish(item._request)


@pytest.fixture
def timeline():
    """Be in a request."""
    made = Timeline(1, 0, 0, 0)
    token = CURRENT.set(made)
    yield made
    CURRENT.reset(token)
