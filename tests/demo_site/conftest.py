"""Django's test clients on the demo site."""

from __future__ import annotations

import os

import django
import pytest
from django.conf import settings


@pytest.fixture(scope="session", autouse=True)
def _demo_site(tmp_path_factory: pytest.TempPathFactory):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    if not settings.configured:
        path = tmp_path_factory.mktemp("demo") / "demo.sqlite3"
        os.environ.setdefault("DEMO_DATABASE", str(path))
    django.setup()
    assert settings.ROOT_URLCONF == "demo_site.urls", "another test configured Django first"
    yield
    from django.db import connections

    connections.close_all()
