"""The demo site with a profiling middleware, as a team would try first."""

from demo_site.settings import *  # noqa: F403 - that is how settings are varied
from demo_site.settings import MIDDLEWARE as _DEMO

MIDDLEWARE = [*_DEMO, "benchmarks.blind_spot.middleware.ProfilerMiddleware"]
