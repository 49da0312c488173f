"""A header with the secret arms a request, on servers that read headers in ways of their own."""

from __future__ import annotations

import time

import pytest

from tests.flame.runs import server_of
from tests.support.run import Client
from tracer.recording.reader import Recording

SECRET = "open sesame"  # noqa: S105 - a test's own


@pytest.mark.parametrize("name", ["gunicorn-sync", "uvicorn-httptools-uvloop"])
def test_only_the_request_with_the_secret_is_armed(name, tmp_path):
    with server_of(name, tmp_path, "header", TRACER_FLAME_SECRET=SECRET) as server:
        client = Client(server)
        client.ask("/quick/")
        armed = client.ask("/quick/", headers={"X-Tracer-Flame": SECRET})
        time.sleep(1.05)
        client.ask("/quick/", headers={"X-Tracer-Flame": SECRET[:-1]})
        client.close()
        server.stop()
    with Recording(server.recording) as opened:
        known = opened.with_stacks()
        found = [one.trace_id for one in opened.requests() if one.request_id in known]
        assert opened.count() == 3
    assert found == [armed.trace_id]
