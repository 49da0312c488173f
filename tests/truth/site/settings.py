"""Settings; `TRUTH_STACK` chooses the middlewares, `TRUTH_DEBUG=1` is `DEBUG = True`."""

from __future__ import annotations

import os

HERE = "tests.truth.site"
SECRET_KEY = "none"  # noqa: S105 - there is nothing to keep
DEBUG = os.environ.get("TRUTH_DEBUG") == "1"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["rest_framework"]
STACKS = {
    "none": [],
    "all": [
        "django.middleware.gzip.GZipMiddleware",
        *(
            f"{HERE}.middleware.{name}"
            for name in (
                "SyncClass",
                "Mixin",
                "AsyncClass",
                "both_function",
                "sync_function",
                "BothClass",
                "async_function",
                "StreamWrapper",
            )
        ),
    ],
}
MIDDLEWARE = STACKS[os.environ.get("TRUTH_STACK", "none")]
ROOT_URLCONF = f"{HERE}.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CACHES = {"default": {"BACKEND": f"{HERE}.parts.Cache"}}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "libraries": {"truth": f"{HERE}.tags"},
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {"truth.html": "{% load truth %}{% spend 'tag' %}"},
                ),
            ],
        },
    },
]
USE_TZ = True
REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None}
LOGGING_CONFIG = None
