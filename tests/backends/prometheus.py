"""A real Prometheus for tests: takes OTLP on a free port, asked by PromQL."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.parse
import urllib.request

from tests.backends.jaeger import program
from tests.support.server import HOST, free_port, wait_for


class Prometheus:
    """One process with its own data."""

    def __init__(self, directory):
        self._program = program("prometheus")
        self._directory = directory
        self.port = free_port()
        self.endpoint = f"http://{HOST}:{self.port}/api/v1/otlp/v1/metrics"
        self._process = None

    def __enter__(self):
        config = self._directory / "prometheus.yml"
        config.write_text("otlp: {}\n")
        log = self._directory / "prometheus.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._directory / 'data'}",
                    f"--web.listen-address={HOST}:{self.port}",
                    "--web.enable-otlp-receiver",
                    "--enable-feature=exemplar-storage",
                    "--log.level=warn",
                ],
                stdout=output,
                stderr=output,
                env={**os.environ, "GOMAXPROCS": "1"},
            )
        assert wait_for(self._answers, 30), log.read_text(errors="replace")
        return self

    def __exit__(self, *_error):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(20)

    def query(self, expression):
        """Return what an expression gives right now: labels and value, a histogram's as a dict."""
        found = self._ask("query", query=expression)
        return [
            (one["metric"], one["histogram"][1] if "histogram" in one else float(one["value"][1]))
            for one in found["result"]
        ]

    def exemplars(self, expression, start, end):
        """Return the exemplars of the series in an expression."""
        found = self._ask("query_exemplars", query=expression, start=start, end=end)
        return [(one["seriesLabels"], each) for one in found for each in one["exemplars"]]

    def metadata(self):
        """Return kind, help and unit of every metric by name."""
        return self._ask("metadata")

    def _ask(self, what, **words):
        url = f"http://{HOST}:{self.port}/api/v1/{what}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def _answers(self):
        with contextlib.suppress(OSError):
            url = f"http://{HOST}:{self.port}/-/ready"
            return urllib.request.urlopen(url, timeout=5).status == 200
        return False
