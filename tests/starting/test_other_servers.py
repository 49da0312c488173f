"""uvicorn's supervisors, runserver, and scripts that serve or fork by themselves."""

from __future__ import annotations

import signal
import textwrap
import time

import pytest

from tests.chaos import clients
from tests.starting.runs import ASGI, StartedRun
from tests.support.server import UVICORN, requests_in, wait_for

AFTER_RESPONSE_S = 0.3
RUNSERVER = ("python", "-m", "demo_site", "runserver", "127.0.0.1:{port}")


def pids(run):
    return {request["pid"] for request in requests_in(run.recording)}


@pytest.mark.slow
def test_uvicorns_workers_are_recorded_and_replaced_ones_too(tmp_path):
    with StartedRun(tmp_path, (*UVICORN, "--workers", "2", ASGI)) as run:
        run.ask(5)
        time.sleep(AFTER_RESPONSE_S)
        before = run.workers()
        run.signal(signal.SIGHUP)
        run.ask_until(lambda: len(set(run.workers()) - set(before)) >= 2)
        run.ask(3)
        slow = run.in_flight()
        time.sleep(AFTER_RESPONSE_S)
        run.signal(signal.SIGTERM)
        slow.join()
        run.server.process.wait(20)
        run.assert_counts()
    assert len(pids(run)) > 1


@pytest.mark.slow
def test_uvicorn_reloads_changed_code_in_a_process_that_is_traced_again(tmp_path):
    (tmp_path / "site_asgi.py").write_text("from demo_site.asgi import application\n")
    command = (*UVICORN, "--reload", "--reload-dir", str(tmp_path), "site_asgi:application")
    with StartedRun(tmp_path, command) as run:
        run.ask(3)
        time.sleep(AFTER_RESPONSE_S)
        before = run.workers()
        (tmp_path / "site_asgi.py").write_text("from demo_site.asgi import application  # new\n")
        assert wait_for(lambda: len(run.workers()) > 1 and set(run.workers()) != set(before))
        run.ask(3)
        run.server.stop()
        run.assert_counts()
    assert len(pids(run)) == 2


def test_runserver_is_recorded_also_after_it_reloaded(tmp_path):
    (tmp_path / "site_urls.py").write_text("from demo_site.urls import urlpatterns\n")
    (tmp_path / "site_settings.py").write_text(
        "from demo_site.settings import *\nROOT_URLCONF = 'site_urls'\n"
    )
    variables = {"DJANGO_SETTINGS_MODULE": "site_settings", "DEMO_DEBUG": "1"}
    with StartedRun(tmp_path, RUNSERVER, variables) as run:
        run.ask(3)
        time.sleep(AFTER_RESPONSE_S)
        (before,) = run.workers()
        (tmp_path / "site_urls.py").write_text("from demo_site.urls import urlpatterns  # new\n")
        assert wait_for(lambda: run.workers() not in ([before], []))
        assert wait_for(run.listens)
        run.ask(2)
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        asked = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
        run.server.ask("/upload/", "POST", b"." * 5_000, asked)
        assert clients.statuses(clients.talk(run.server.port, b"nonsense\r\n\r\n")) in ([400], [])
        run.answered += 2
        time.sleep(AFTER_RESPONSE_S)
        run.server.stop()
        run.assert_counts()
    found = requests_in(run.recording)
    assert {request["server"] for request in found} == {"runserver"}
    assert {request["status"] for request in found} == {200, 400}
    assert {request["route"] for request in found} == {"test/", "upload/", None}
    (upload,) = [request for request in found if request["route"] == "upload/"]
    assert upload["trace_id"] == trace_id
    assert "body" in {segment["detail"] for segment in upload["segments"]}
    assert len(pids(run)) == 2


FORKS = """
    import os, signal, socket, sys
    import tracer
    os.environ["DJANGO_SETTINGS_MODULE"] = "demo_site.settings"
    from django.core.asgi import get_asgi_application
    import uvicorn

    application = {wrap}(get_asgi_application())
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))

    def serve():
        uvicorn.Server(uvicorn.Config(application, log_level="warning")).run([listener])

    children = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            serve()
            os._exit(0)
        children.append(pid)

    def end(number, frame):
        for pid in children:
            os.kill(pid, number)

    signal.signal(signal.SIGTERM, end)
    for pid in children:
        os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("wrap", ["tracer.wrap", pytest.param("", marks=pytest.mark.slow)])
def test_a_script_that_builds_its_application_and_forks_is_recorded(tmp_path, wrap):
    """Without `wrap` too: the chain was built before the server's own modules were imported."""
    (tmp_path / "serve.py").write_text(textwrap.dedent(FORKS.format(wrap=wrap)))
    command = ("python", str(tmp_path / "serve.py"), "{port}")
    with StartedRun(tmp_path, command) as run:
        assert wait_for(lambda: len(run.workers()) == 2)
        run.ask(3)
        run.signal(signal.SIGSTOP, run.workers()[0])
        run.ask(3)
        run.signal(signal.SIGCONT, run.workers()[0])
        time.sleep(AFTER_RESPONSE_S)
        run.server.stop()
        run.assert_counts()
    found = requests_in(run.recording)
    for request in found:
        middlewares = {s["detail"] for s in request["segments"] if s["layer"] == "middleware"}
        assert "django.middleware.csrf.CsrfViewMiddleware" in middlewares
        assert not [seam for seam in request["seams_absent"] if "middleware" in seam]
