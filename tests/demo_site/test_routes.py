"""Every route answers as it says, under WSGI's handler and under ASGI's, with every stack."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
import warnings

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client, override_settings

from demo_site.stacks import STACKS, stack

ROUTES = [
    ("test/", 200, b'{"message":"Test Message"}'),
    ("drf/?books=2", 200, b'[{"title":"Volume 0","pages":0},{"title":"Volume 1","pages":1}]'),
    ("queries/", 200, b"Volume 5, 105 pages"),
    ("queries/2/", 200, b"Volume 2, 102 pages"),
    ("queries/0/", 200, b"<ul>\n</ul>"),
    ("cpu/?ms=1", 200, b'{"spun_ms": 1.0}'),
    ("async/", 200, b'{"message": "async"}'),
    ("sleep/?ms=1", 200, b'{"slept_ms": 1.0}'),
    ("block/?ms=1", 200, b'{"blocked_ms": 1.0}'),
    ("stream/sync/?chunks=3&bytes=2&ms=0", 200, b"......"),
    ("stream/async/?chunks=3&bytes=2&ms=0&sleep=1", 200, b"......"),
    ("pool/sensitive/?count=2&ms=1", 200, b'{"tasks": 2, "ms": 1.0}'),
    ("pool/free/?count=2&ms=1", 200, b'{"tasks": 2, "ms": 1.0}'),
    ("gather/?ms=1", 200, b'{"spun_ms": [1.0, 1.0]}'),
    ("nested/?depth=2&ms=1", 200, b'{"depth": 2, "ms": 1.0}'),
    ("after/?ms=1", 200, b"answered"),
    ("raises/", 500, b"Server Error"),
    ("raises/?kind=missing", 404, b"Not Found"),
    ("raises/?kind=denied", 403, b"403 Forbidden"),
    ("upload/", 405, b""),
    ("nowhere/", 404, b"Not Found"),
    ("cpu/?ms=long", 400, b"Bad Request"),
    ("cpu/?ms=-1", 400, b"Bad Request"),
    ("cpu/?ms=nan", 400, b"Bad Request"),
    ("drf/?books=1e9", 400, b""),
]
HOOKS = ("process_request", "process_view", "process_template_response", "process_response")


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest):
    """A function that asks the site: method, path, data; gives status and body."""

    def sync(method: str, path: str, **kwargs):
        response = getattr(Client(raise_request_exception=False), method)(f"/{path}", **kwargs)
        return response.status_code, b"".join(response)

    async def body_of(response) -> bytes:
        if not response.streaming:
            return response.content
        if response.is_async:
            return b"".join([chunk async for chunk in response])
        return b"".join(response)

    def aio(method: str, path: str, **kwargs):
        async def run():
            client = AsyncClient(raise_request_exception=False)
            response = await getattr(client, method)(f"/{path}", **kwargs)
            return response.status_code, await body_of(response)

        return asyncio.run(run())

    def either(method: str, path: str, **kwargs):
        with warnings.catch_warnings():
            # Each kind of stream is also read in the other mode, on purpose.
            warnings.filterwarnings("ignore", "StreamingHttpResponse must consume")
            return (sync if request.param == "sync" else aio)(method, path, **kwargs)

    return either


@pytest.mark.parametrize(("path", "status", "body"), ROUTES, ids=[route[0] for route in ROUTES])
def test_route(ask, path: str, status: int, body: bytes):
    answer = ask("get", path)
    assert answer[0] == status
    assert body in answer[1]


def test_every_route_is_tried():
    from demo_site.urls import urlpatterns

    tried = {path.partition("?")[0] for path, *_ in ROUTES}
    assert {str(one.pattern).replace("<int:n>", "2") for one in urlpatterns} <= tried


def test_upload(ask):
    status, body = ask("post", "upload/", data=b"x" * 5000, content_type="text/plain")
    assert (status, json.loads(body)) == (200, {"bytes": 5000})


def test_upload_of_a_form(ask):
    data = {"file": SimpleUploadedFile("a.bin", b"y" * 3000), "note": "z"}
    status, body = ask("post", "upload/", data=data)
    assert (status, json.loads(body)) == (200, {"files": {"a.bin": 3000}, "fields": ["note"]})


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize(
    "path",
    ["test/", "async/", "queries/2/", "stream/sync/?ms=0", "stream/async/?ms=0", "nested/?ms=0"],
)
def test_every_stack_answers(ask, name: str, path: str):
    with override_settings(MIDDLEWARE=stack(name)):
        assert ask("get", path)[0] == 200


@pytest.mark.parametrize("name", ["sync", "async", "both", "mixed"])
def test_handled_errors_need_a_hook(ask, name: str):
    with override_settings(MIDDLEWARE=stack(name)):
        assert ask("get", "raises/?kind=handled") == (200, b"handled")
    assert ask("get", "raises/?kind=handled")[0] == 500


@pytest.mark.parametrize("name", ["sync", "async", "both"])
@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_cost_what_is_asked(ask, name: str, hook: str):
    with override_settings(MIDDLEWARE=stack(name)):
        start = time.perf_counter()
        assert ask("get", f"queries/1/?{hook}=20")[0] == 200
    assert time.perf_counter() - start >= 0.02


@pytest.mark.parametrize(
    "phase", ["authentication", "permission", "throttle", "handler", "serializer"]
)
def test_phases_cost_what_is_asked(ask, phase: str):
    start = time.perf_counter()
    assert ask("get", f"drf/?books=1&{phase}=20")[0] == 200
    assert time.perf_counter() - start >= 0.02


def test_close_costs_after_the_answer():
    from demo_site.views.plain import SlowToClose

    response = SlowToClose("answered")
    response.close_ms = 20
    start = time.perf_counter()
    response.close()
    assert time.perf_counter() - start >= 0.02


def test_unknown_stack():
    with pytest.raises(ValueError, match="'odd': choose one of default, none"):
        stack("odd")


def test_every_view_says_what_it_costs():
    from demo_site.views import handoffs, loop, plain, rest, streams

    for module in (handoffs, loop, plain, rest, streams):
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", "") == module.__name__:
                assert inspect.getdoc(value) or name.startswith("_"), name


def test_the_seed_touches_no_database(ask, monkeypatch: pytest.MonkeyPatch):
    from django.db.backends.base.base import BaseDatabaseWrapper

    def refuse(_self):
        raise AssertionError

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", refuse)
    assert ask("get", "test/")[0] == 200
