"""A backend that takes OTLP, as well or as badly as it is told to; and its spans."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Backend:
    """A real HTTP server; `status` is what it answers, `pause_s` how long that takes."""

    def __init__(self, port=0):
        self.status, self.pause_s, self.headers = 200, 0.0, {}
        self.messages, self.sizes, self.heads = [], [], []
        self.metrics, self.refused = [], []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(backend.pause_s)
                status = backend.status
                if self.path.endswith("/v1/metrics"):
                    (backend.metrics if status == 200 else backend.refused).append(content)
                elif status == 200:
                    backend.heads.append(dict(self.headers))
                    backend.messages.append(content)
                self.send_response(status)
                for name, value in backend.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_):
                pass  # the exporter hung up: that is what some tests are about

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def requests(self):
        return [ExportTraceServiceRequest.FromString(one) for one in list(self.messages)]

    def spans(self):
        return [span for request in self.requests() for span in spans_of(request)]

    def roots(self):
        return [span for span in self.spans() if span.kind == span.SPAN_KIND_SERVER]


def spans_of(request):
    return [
        span
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
