"""Settings of the site whose functions take known times."""

from __future__ import annotations

SECRET_KEY = "none"  # noqa: S105 - there is nothing to keep
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS: list[str] = []
MIDDLEWARE = ["tests.flame.site.views.Slow"]
ROOT_URLCONF = "tests.flame.site.urls"
USE_TZ = True
LOGGING_CONFIG = None
