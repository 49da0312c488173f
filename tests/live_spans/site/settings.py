"""Middlewares of which one makes spans and one asks a database, and views that do."""

from __future__ import annotations

import os

SECRET_KEY = "none"  # noqa: S105 - there is nothing to keep
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.live_spans.site.views"
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "tests.live_spans.site.views.Spanning",
    "tests.live_spans.site.rows.Asking",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("TEST_DATABASE", ":memory:"),
    }
}
