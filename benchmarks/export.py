"""The exporting process alone, on one core: real ASGI timelines in, OTLP requests out.

It is fed through its pipe as quickly as it reads, and sends to a receiver on the other core
that discards. Each level of detail is measured by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.agent import INTERFACE, capture
from benchmarks.machine import ROOT, cores, pinned
from tracer.analysis.spans.span_levels import LEVELS
from tracer.export import messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.options import Options
    from benchmarks.replicate import Captured

_WORKER: Final = 1
_SECOND_NS: Final = 1_000_000_000


def run(options: Options) -> dict[str, Any]:
    """Measure each level."""
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-", dir=options.out) as folder:
        captured = capture(options, Path(folder))
        levels = {level: _level(captured, options, level) for level in LEVELS}
    return {"schema": "tracer.benchmark.export/1", "interface": INTERFACE, "levels": levels}


def _level(captured: Captured, options: Options, level: str) -> dict[str, Any]:
    measured, others = cores()
    with pinned(others), Discarding() as receiver:
        variables = {
            "TRACER_OTLP": receiver.url,
            "TRACER_SPANS": level,
            # Nobody sheds here: the pipe waits for whoever reads it.
            "OTEL_BSP_MAX_QUEUE_SIZE": "8192",
            "OTEL_METRICS_EXPORTER": "none",
        }
        kept = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
        with pinned(measured):
            process = subprocess.Popen(
                [sys.executable, "-m", "tracer.export.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**kept, **variables},
                cwd=ROOT,
            )
        told: list[bytes] = []
        listener = threading.Thread(target=lambda: told.extend(process.stdout or ()))
        listener.start()
        begin = time.perf_counter_ns()
        traces = _feed(process, captured, options)
        listener.join()
        if process.stdout is not None:
            process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        elapsed = time.perf_counter_ns() - begin
    tally = json.loads(told[-1])
    return {
        "traces": traces,
        "exported_traces": tally["exported_traces"],
        "spans_per_trace": tally["exported_spans"] / max(tally["exported_traces"], 1),
        "elapsed_ns": elapsed,
        "cpu_ns": round((usage.ru_utime + usage.ru_stime) * _SECOND_NS),
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        "traces_per_s": round(traces * _SECOND_NS / elapsed),
        "bytes_per_span": receiver.received / max(tally["exported_spans"], 1),
    }


def _feed(process: Any, captured: Captured, options: Options) -> int:
    """Write all there is to its end; return how many traces that are."""
    stretches = max(options.exported // max(captured.timelines, 1), 1)
    for content in _packed(captured, stretches):
        process.stdin.write(content)
    process.stdin.close()
    return stretches * captured.timelines


def _packed(captured: Captured, stretches: int) -> Iterator[bytes]:
    yield messages.description(_WORKER, captured.description).packed()
    yield messages.names(_WORKER, captured.names).packed()
    for number in range(stretches):
        for kind, frame in captured.copy(number):
            yield messages.Message(kind, _WORKER, frame).packed()


class Discarding:
    """Takes whatever it is sent, counts its bytes, and forgets it."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.received = 0
        discarding = self

        class Handler(BaseHTTPRequestHandler):
            """Reads and answers."""

            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                """Read to the end, say that all is well."""
                length = int(self.headers["Content-Length"])
                discarding.received += len(self.rfile.read(length))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
