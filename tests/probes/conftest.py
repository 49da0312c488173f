from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="module", autouse=True)
def _django(tmp_path_factory):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    path = tmp_path_factory.mktemp("demo") / "demo.sqlite3"
    os.environ.setdefault("DEMO_DATABASE", str(path))
    import django

    django.setup()
    yield
    from django.db import connections

    connections.close_all()


@pytest.fixture
def recorder():
    from tracer.recording.memory import MemorySink
    from tracer.runtime.recorder import Recorder

    return Recorder(MemorySink())
