"""A real Jaeger v2 for tests: started on free ports, asked through its API."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

import pytest

from tests.backends.build import BACKENDS, BuildError, build, go
from tests.support.server import HOST, free_port, wait_for

_CONFIG = """
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry:
    metrics: {{level: none}}
    logs: {{level: error}}
extensions:
  jaeger_storage: {{backends: {{main: {{memory: {{max_traces: 100000}}}}}}}}
  jaeger_query:
    storage: {{traces: main}}
    http: {{endpoint: "{host}:{query}"}}
    grpc: {{endpoint: "{host}:{grpc}"}}
receivers:
  otlp:
    protocols:
      http: {{endpoint: "{host}:{otlp}"}}
      grpc: {{endpoint: "{host}:{otlp_grpc}"}}
exporters:
  jaeger_storage_exporter: {{trace_storage: main}}
"""


@dataclass
class JaegerSpan:
    """A span as Jaeger's API tells it: microseconds."""

    span_id: str
    parent_id: str | None
    name: str
    start_us: int
    end_us: int
    tags: dict
    logs: list
    process: dict


def program(name):
    """Return a backend's program; skip the test where it can't be built, or fail under CI."""
    try:
        return build(BACKENDS[name])
    except BuildError as error:
        if os.environ.get("CI") == "true" and go() is not None:
            raise
        pytest.skip(f"{name} isn't there: {error}")


class Jaeger:
    """One process with its memory; `restart` begins with an empty one at the same ports."""

    def __init__(self, directory):
        self._program = program("jaeger")
        self.ports = {name: free_port() for name in ("query", "grpc", "otlp", "otlp_grpc")}
        self.endpoint = f"http://{HOST}:{self.ports['otlp']}"
        self.grpc_endpoint = f"http://{HOST}:{self.ports['otlp_grpc']}"
        self._config = directory / "jaeger.yaml"
        self._config.write_text(_CONFIG.format(host=HOST, **self.ports))
        self._log = directory / "jaeger.log"
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_error):
        self.stop()

    def start(self):
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "--config", str(self._config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMAXPROCS": "1"},
            )
        assert wait_for(self._answers, 30), self._log.read_text(errors="replace")

    def stop(self, number=signal.SIGKILL):
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def services(self):
        return self._ask("services")

    def trace(self, trace_id):
        """Return a trace's spans, none if Jaeger doesn't have it."""
        try:
            (found,) = self._ask(f"traces/{trace_id}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        return [_span(one, found["processes"]) for one in found["spans"]]

    def search(self, service, tags):
        """Return the ids of the traces that a search by tags finds."""
        query = urllib.parse.urlencode(
            {"service": service, "tags": json.dumps(tags), "limit": 1000, "lookback": "1h"}
        )
        return {one["traceID"] for one in self._ask(f"traces?{query}")}

    def _ask(self, what):
        url = f"http://{HOST}:{self.ports['query']}/api/{what}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def _answers(self):
        with contextlib.suppress(OSError):
            self.services()
            with urllib.request.urlopen(  # noqa: S310 - our own
                urllib.request.Request(  # noqa: S310
                    f"{self.endpoint}/v1/traces", b"", {"Content-Type": "application/x-protobuf"}
                ),
                timeout=5,
            ):
                return True
        return False


def _span(one, processes):
    parents = [ref["spanID"] for ref in one["references"] if ref["refType"] == "CHILD_OF"]
    tags = {tag["key"]: tag["value"] for tag in one["tags"]}
    process = {tag["key"]: tag["value"] for tag in processes[one["processID"]]["tags"]}
    process["service"] = processes[one["processID"]]["serviceName"]
    return JaegerSpan(
        one["spanID"],
        parents[0] if parents else None,
        one["operationName"],
        one["startTime"],
        one["startTime"] + one["duration"],
        tags,
        one["logs"],
        process,
    )
