"""pyinstrument's middleware, profiling every request into a folder."""

from __future__ import annotations

from benchmarks.peers import scratch

TITLE = "pyinstrument"
DISTRIBUTION = "pyinstrument"
REQUIREMENTS = ("pyinstrument",)


def start() -> None:
    """Put it into the settings; the folder is what makes it profile every request."""
    from demo_site import settings

    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "pyinstrument.middleware.ProfilerMiddleware"]
    settings.PYINSTRUMENT_PROFILE_DIR = scratch()
