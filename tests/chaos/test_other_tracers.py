"""Another APM in the same process, installed before us or after: nobody loses a request."""

from __future__ import annotations

import json
import textwrap
import time

import pytest

from benchmarks.check_jsonl import check
from tests.starting.runs import StartedRun
from tests.support.server import SERVERS, agents_of, tracer, wait_for

# Each notes one line for each request that it saw, in a file that no other process shares.
OTEL = """
    import os
    from opentelemetry import trace
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class Lines(SpanExporter):
        def export(self, spans):
            with open("otel.lines", "a") as file:
                for span in spans:
                    if span.kind == trace.SpanKind.SERVER:
                        file.write(f"{span.context.trace_id:032x} {span.name}\\n")
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Lines()))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument()
"""
SENTRY = """
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Lines(Transport):
        def capture_envelope(self, envelope):
            for item in envelope.items:
                if item.type == "transaction":
                    with open("sentry.lines", "a") as file:
                        file.write(item.payload.json["contexts"]["trace"]["trace_id"] + "\\n")

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Lines)
"""
APMS = {"otel": OTEL, "sentry": SENTRY}
# Sentry's integration reads the settings only when Django is there; both must find it set.
BEFORE = "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'demo_site.settings'\n"
ASKED = (
    ("/test/", 200),
    ("/queries/2/", 200),
    ("/async/", 200),
    ("/raises/", 500),
    ("/raises/?kind=denied", 403),
    ("/stream/sync/?ms=0", 200),
    ("/stream/async/?ms=0", 200),
    ("/gather/?ms=0", 200),
    ("/nowhere/", 404),
)
CSRF = "django.middleware.csrf.CsrfViewMiddleware"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("gunicorn-sync", "otel", "sentry"),
        pytest.param("uvicorn-h11-asyncio", "sentry", "otel", marks=pytest.mark.slow),
    ],
)
def test_with_one_before_us_and_one_after_nobody_loses_a_request(tmp_path, name, before, after):
    interface = "wsgi" if name.startswith("gunicorn") else "asgi"
    (tmp_path / "sitecustomize.py").write_text(BEFORE + textwrap.dedent(APMS[before]))
    (tmp_path / "site_application.py").write_text(
        f"{textwrap.dedent(APMS[after])}\nfrom demo_site.{interface} import application\n"
    )
    options = [word for word in SERVERS[name] if not word.startswith("demo_site")]
    command = ("python", "-m", *options, "site_application:application")
    with StartedRun(tmp_path, command) as run:
        for path, expected in ASKED * 2:
            assert run.server.ask(path)[0] == expected, run.server.output
        time.sleep(0.3)
        run.server.stop()
    assert wait_for(lambda: not agents_of(run.recording))
    lines = tracer("report", run.recording, "--format", "jsonl").stdout.splitlines()
    figures, complaints = check(lines, 2 * len(ASKED))
    assert complaints == [], figures
    for request in map(json.loads, lines):
        owners = {one["detail"] for one in request["segments"] if one["layer"] == "middleware"}
        assert CSRF in owners, request["seams_absent"]
    for apm in APMS:
        seen = (tmp_path / f"{apm}.lines").read_text().splitlines()
        assert len(seen) == 2 * len(ASKED), apm
    assert "tracer:" not in run.server.output


def test_of_two_tracers_the_inner_one_records_each_request_once(tmp_path):
    (tmp_path / "site_application.py").write_text(
        "import tracer\nfrom demo_site.wsgi import application\n"
        "application = tracer.wrap(tracer.wrap(application))\n"
    )
    inner = tmp_path / "inner.tracer"
    options = [word for word in SERVERS["gunicorn-sync"] if not word.startswith("demo_site")]
    server = ("python", "-m", *options, "site_application:application")
    command = ("python", "-m", "tracer", "run", "--record", str(inner), "--", *server)
    with StartedRun(tmp_path, command) as run:
        for path, expected in ASKED:
            assert run.server.ask(path)[0] == expected, run.server.output
        run.server.stop()
    assert wait_for(lambda: not agents_of(run.recording) and not agents_of(inner))
    lines = tracer("report", inner, "--format", "jsonl").stdout.splitlines()
    figures, complaints = check(lines, len(ASKED))
    assert complaints == [], figures
    assert "no requests" in tracer("report", run.recording).stderr
