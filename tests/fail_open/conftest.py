from __future__ import annotations

import json

import pytest

from tests.support.run import Client, Run
from tests.support.server import SERVERS

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
    ("GET", "/block/?ms=5", None),
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


FEW = tuple(
    route
    for route in ROUTES
    if route[0] != "HEAD"
    and route[1].startswith(("/test", "/raises", "/upload", "/stream/async", "/nested"))
)


def _environment(directory):
    return {"DEMO_DATABASE": str(directory / "demo.sqlite3"), "DEMO_MIDDLEWARE": "mixed"}


class Demo:
    """A running demo, asked every route."""

    def __init__(self, server):
        self.server = server
        self.client = Client(server)

    def bytes(self, routes=ROUTES, keeping=(True, False)):
        """Status, headers without the date, and body of every route's answer."""
        answers = {}
        for method, path, body in routes:
            for keep in keeping:
                answer = self.client.ask(path, method=method, body=body, keep=keep)
                headers = [
                    (name, value) for name, value in answer.headers if name.lower() != "date"
                ]
                answers[method, path, keep] = (answer.status, headers, answer.body)
        return answers

    def alternating(self):
        """As `bytes`, one route by keep-alive and the next by a connection of its own."""
        return self.bytes(ROUTES[::2], (True,)) | self.bytes(ROUTES[1::2], (False,))

    def malformed(self):
        """The first bytes of the answer to what is no request."""
        return self.client.raw(b"GE\x00T / HTTP/1.1\r\n: nothing\r\n\r\n")[:30]

    def few(self):
        """As `bytes`, of some routes, where it has to be asked very often."""
        return self.bytes(FEW, (True,))

    def tell(self, word):
        return json.loads(self.client.ask(f"/_{word}").body)


@pytest.fixture(scope="session")
def plain_answers(tmp_path_factory):
    """Give what a server answers untraced; each is asked once."""
    known = {}

    def ask(name):
        if name not in known:
            directory = tmp_path_factory.mktemp("plain")
            environment = _environment(directory)
            with Run(name, SITE, directory, environment, traced=False) as server:
                plain = Demo(server)
                known[name] = {**plain.bytes(), "malformed": plain.malformed()}
                plain.client.close()
        return known[name]

    return ask


@pytest.fixture(scope="module", params=SERVERS)
def demo(request, tmp_path_factory, plain_answers):
    """A traced demo and what an untraced one answers."""
    directory = tmp_path_factory.mktemp("fail_open")
    expected = plain_answers(request.param)
    with Run(request.param, SITE, directory, _environment(directory)) as server:
        traced = Demo(server)
        traced.expected = expected
        yield traced
        traced.client.close()
