"""Two middlewares of which one makes spans, and a few views that do."""

from __future__ import annotations

SECRET_KEY = "none"  # noqa: S105 - there is nothing to keep
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.live_spans.site.views"
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "tests.live_spans.site.views.Spanning",
]
