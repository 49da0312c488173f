"""A site of a few views, each with a response of another kind."""

from __future__ import annotations

SECRET_KEY = "none"  # noqa: S105 - there is nothing to keep
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.server_timing.site.views"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
