"""The demo's settings."""

from demo_site.settings import *  # noqa: F403
