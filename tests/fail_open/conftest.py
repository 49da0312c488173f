from __future__ import annotations

import json

import pytest

from tests.servers import SERVERS, Client, Server

SITE = "tests.fail_open.site"
ROUTES = (
    ("GET", "/test/", None),
    ("GET", "/drf/", None),
    ("GET", "/queries/3/", None),
    ("GET", "/cpu/", None),
    ("GET", "/raises/", None),
    ("POST", "/upload/", b"x" * 70_000),
    ("GET", "/after/", None),
    ("GET", "/async/", None),
    ("GET", "/sleep/?ms=1", None),
    ("GET", "/block/?ms=1", None),
    ("GET", "/stream/sync/?ms=0", None),
    ("GET", "/stream/async/?ms=0", None),
    ("GET", "/pool/sensitive/?count=2&ms=1", None),
    ("GET", "/pool/free/?count=2&ms=1", None),
    ("GET", "/gather/?ms=0", None),
    ("GET", "/nested/?depth=2&ms=0", None),
    ("GET", "/nowhere/", None),
    ("HEAD", "/test/", None),
    ("DELETE", "/test/", None),
)


class Demo:
    """A running demo, asked every route."""

    def __init__(self, server):
        self.server = server
        self.client = Client(server)

    def bytes(self):
        """Status, headers without the date, and body of every route's answer."""
        answers = {}
        for method, path, body in ROUTES:
            for keep in (True, False):
                answer = self.client.ask(path, method=method, body=body, keep=keep)
                headers = [(name, value) for name, value in answer.headers if name.lower() != "date"]
                answers[method, path, keep] = (answer.status, headers, answer.body)
        answers["malformed"] = self.client.raw(b"GE\x00T / HTTP/1.1\r\n: nothing\r\n\r\n")[:30]
        return answers

    def tell(self, word):
        return json.loads(self.client.ask(f"/_{word}").body)


@pytest.fixture(scope="module", params=SERVERS)
def demo(request, tmp_path_factory):
    """A traced demo and what an untraced one answers."""
    directory = tmp_path_factory.mktemp("fail_open")
    environment = {"DEMO_DATABASE": str(directory / "demo.sqlite3"), "DEMO_MIDDLEWARE": "mixed"}
    with Server(request.param, SITE, directory, environment, traced=False) as server:
        plain = Demo(server)
        plain.bytes()
        expected = plain.bytes()
        plain.client.close()
    with Server(request.param, SITE, directory, environment) as server:
        traced = Demo(server)
        traced.expected = expected
        yield traced
        traced.client.close()
