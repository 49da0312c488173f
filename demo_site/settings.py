"""Settings of the demo, as `startproject` makes them where nothing else is said.

Read from the environment:

- `DEMO_DEBUG=1`: `DEBUG = True`.
- `DEMO_MIDDLEWARE`: the name of a stack in `demo_site.stacks`, `default` if unset.
- `DEMO_DATABASE`: the SQLite file, `build/demo/demo.sqlite3` if unset. It is made when first used.
- `DEMO_CONN_MAX_AGE`: how long a database connection may persist, in seconds, 600 if unset.
"""

from __future__ import annotations

import os
from pathlib import Path

from demo_site.stacks import stack

SECRET_KEY = "a demo has no secrets"  # noqa: S105 - and this one says so
DEBUG = os.environ.get("DEMO_DEBUG") == "1"
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "demo_site",
]
MIDDLEWARE = stack(os.environ.get("DEMO_MIDDLEWARE", "default"))
ROOT_URLCONF = "demo_site.urls"
WSGI_APPLICATION = "demo_site.wsgi.application"
ASGI_APPLICATION = "demo_site.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(os.environ.get("DEMO_DATABASE", "build/demo/demo.sqlite3")).absolute()),
        "CONN_MAX_AGE": int(os.environ.get("DEMO_CONN_MAX_AGE", "600")),
        "OPTIONS": {"timeout": 30},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The one table is made by `demo_site.database`; nothing is there to migrate.
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes", "demo_site"))
# A stray cookie of another site on localhost must not lead to a table that is not there.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

USE_TZ = True
REST_FRAMEWORK = {"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]}
