from __future__ import annotations

import textwrap

import pytest

import tracer
from tests.support.server import (
    GUNICORN,
    ROOT,
    UVICORN,
    UVICORN_WORKER,
    Server,
    environment,
    requests_in,
)
from tracer.agent.session import open_session
from tracer.launch import setup

STYLES = """
    import functools
    from collections import Counter
    from asgiref.sync import markcoroutinefunction
    from django.utils.decorators import (
        async_only_middleware, sync_and_async_middleware, sync_only_middleware,
    )
    from django.utils.deprecation import MiddlewareMixin
    from demo_site import middleware as demo

    BUILT = Counter()

    def counted(function):
        @functools.wraps(function)
        def factory(get_response):
            BUILT[function.__name__] += 1
            return function(get_response)
        return factory

    sync_function = sync_only_middleware(counted(demo.sync_function))
    async_function = async_only_middleware(counted(demo.async_function))
    both_function = sync_and_async_middleware(counted(demo.both_function))

    class Counting:
        def __init__(self, get_response):
            BUILT[type(self).__name__] += 1
            super().__init__(get_response)

    class SyncClass(Counting, demo.SyncClass): pass
    class AsyncClass(Counting, demo.AsyncClass): pass
    class MixinClass(Counting, demo.MixinClass): pass

    class Slots:
        __slots__ = ("hidden",)

        def __init__(self, get_response):
            BUILT["Slots"] += 1
            self.hidden = (get_response,)

        def __call__(self, request):
            return self.hidden[0](request)
"""
URLS = """
    from django.http import JsonResponse
    from django.urls import path
    from styles import BUILT

    urlpatterns = [path("built/", lambda request: JsonResponse(BUILT))]
"""
SETTINGS = """
    import os
    from demo_site.settings import *

    ROOT_URLCONF = "urls"
    MIDDLEWARE = os.environ["STYLES"].split(",")
"""
APPLICATION = """
    import os
    os.environ["DJANGO_SETTINGS_MODULE"] = "wrap_settings"
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    import tracer

    build = get_asgi_application if {asgi} else get_wsgi_application
    built = build()
    application = tracer.wrap(tracer.wrap(built))
    assert application is built
"""
AROUND = """
    async def around(scope, receive, send):
        await built(scope, receive, send)

    application = tracer.wrap(around)
"""
STYLE_PATHS = ["styles.SyncClass", "styles.sync_function", "styles.MixinClass"]
ASYNC_PATHS = ["styles.AsyncClass", "styles.async_function"]
DJANGOS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
APPLICATION_ON = (*UVICORN, "asgi_application:application")
COMMANDS = {
    "uvicorn-h11-asyncio": (
        "asgi",
        (*APPLICATION_ON, "--http", "h11", "--loop", "asyncio"),
    ),
    "uvicorn-httptools": (
        "asgi",
        (*APPLICATION_ON, "--http", "httptools", "--loop", "uvloop"),
    ),
    "gunicorn-sync": ("wsgi", (*GUNICORN, "wsgi_application")),
    "gunicorn-gthread": ("wsgi", (*GUNICORN, "--threads", "2", "wsgi_application")),
    "gunicorn-uvicorn": (
        "asgi",
        (*GUNICORN, *UVICORN_WORKER, "asgi_application"),
    ),
}


@pytest.fixture
def site(tmp_path):
    for name, code in (
        ("styles", STYLES),
        ("urls", URLS),
        ("wrap_settings", SETTINGS),
        ("asgi_application", APPLICATION.format(asgi=True)),
        ("wsgi_application", APPLICATION.format(asgi=False)),
    ):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
    return tmp_path


def serve(site, command, styles, *, traced=True):
    """Serve two requests with an application wrapped by its own code; return the records."""
    with open_session(site / "recording") as session:
        given = session.environment({}) if traced else {}
        given.pop("PYTHONPATH", None)
        env = environment(site, **given, STYLES=",".join(styles))
        with Server(command, env, site / "server.log") as server:
            answers = [server.ask("/built/") for _ in range(2)]
            server.stop()
    assert [status for status, _ in answers] == [200, 200], server.output
    counts = eval(answers[1][1].decode())  # noqa: S307 - a dictionary of our own
    return requests_in(site / "recording"), counts, server.output


def middlewares_of(request):
    return {one["detail"] for one in request["segments"] if one["layer"] == "middleware"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_chain_that_django_has_built_is_instrumented_in_place(site, name):
    interface, command = COMMANDS[name]
    styles = [*DJANGOS, *STYLE_PATHS, *(ASYNC_PATHS if interface == "asgi" else ())]
    requests, counts, output = serve(site, command, styles)
    assert len(requests) == 2
    assert not [line for line in output.splitlines() if "tracer" in line]
    assert set(counts.values()) == {1}, "no middleware is instantiated twice"
    assert len(counts) == len(styles) - len(DJANGOS)
    for request in requests:
        assert sum(request["layers"].values()) == request["end_ns"] - request["start_ns"]
        assert middlewares_of(request) == set(styles)
        views = {one["detail"] for one in request["segments"] if one["layer"] == "view"}
        assert views == {"urls.<lambda>"}
        assert not [seam for seam in request["seams_absent"] if "middleware" in seam]


def test_a_factory_that_hands_on_to_another_is_told_from_that_other(site):
    """`both_function` returns what `async_function` makes: place in MIDDLEWARE tells them apart."""
    styles = ["styles.both_function", "styles.AsyncClass", "styles.async_function"]
    (request, _), _, _ = serve(site, COMMANDS["uvicorn-h11-asyncio"][1], styles)
    assert middlewares_of(request) == set(styles)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("gunicorn")])
def test_the_server_is_named_as_under_tracer_run(site, name):
    (first, _), _, _ = serve(site, COMMANDS[name][1], DJANGOS)
    assert first["server"] == name.replace("-", ".")


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "gunicorn-sync"])
def test_what_cannot_be_reached_is_named(site, name):
    interface, command = COMMANDS[name]
    styles = ["styles.SyncClass", "styles.Slots", *DJANGOS]
    requests, counts, _ = serve(site, command, styles)
    assert counts == {"SyncClass": 1, "Slots": 1}
    assert "styles.SyncClass" in middlewares_of(requests[0])
    absent = requests[0]["seams_absent"]
    assert {f"middleware:{path}" for path in DJANGOS} <= set(absent)
    assert interface == requests[0]["interface"]


def test_an_application_around_django_is_named_as_out_of_reach(site):
    code = (site / "asgi_application.py").read_text()
    inner = code.replace("tracer.wrap(tracer.wrap(built))", "built")
    (site / "asgi_application.py").write_text(inner + textwrap.dedent(AROUND))
    requests, _, _ = serve(site, COMMANDS["uvicorn-h11-asyncio"][1], DJANGOS)
    assert len(requests) == 2
    assert "django:middleware chain" in requests[0]["seams_absent"]


def test_without_an_agent_wrapping_does_nothing(site):
    requests, counts, output = serve(
        site, COMMANDS["uvicorn-h11-asyncio"][1], [*DJANGOS, *STYLE_PATHS], traced=False
    )
    assert requests == []
    assert set(counts.values()) == {1}
    assert "tracer" not in output


def test_what_is_no_application_comes_back_as_it_went_in(monkeypatch):
    monkeypatch.delenv(setup.RING_DIRECTORY, raising=False)
    for thing in (None, object(), "text", ROOT):
        assert tracer.wrap(thing) is thing
