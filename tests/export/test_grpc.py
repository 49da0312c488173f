"""OTLP by gRPC: it arrives as by http/protobuf, and a backend that is away harms nobody.

`test_jaeger.py` has the whole way to a real Jaeger.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as ByGrpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as ByHttp
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace import SpanLimits

from tests.backends.jaeger import Jaeger
from tests.export.backend import spans_of
from tests.support.builders import asgi_request
from tests.support.server import (
    HOST,
    SERVERS,
    Server,
    agents_of,
    environment,
    free_port,
    requests_in,
    wait_for,
)
from tracer.analysis.metrics.instruments import SEEN
from tracer.analysis.spans.span_builder import SpanBatch
from tracer.analysis.spans.spans import trace_of
from tracer.export.span_exporters import (
    HTTP,
    OtlpHttpExporter,
    ReadableSpanExporter,
    make_span_exporters,
    takes_encoded,
)
from tracer.export.span_limits import Limits
from tracer.recording.file import read_meta

EACH = 6
LIMITS = Limits(SpanLimits())


class Backend:
    """A real gRPC server that keeps what it is sent."""

    def __init__(self, port):
        self.spans, self.metrics, self.metadata = [], [], []
        backend = self

        class Traces(TraceServiceServicer):
            def Export(self, request, context):  # noqa: N802 - gRPC's name
                backend.metadata.append(dict(context.invocation_metadata()))
                backend.spans += spans_of(request)
                return ExportTraceServiceResponse()

        class Metrics(MetricsServiceServicer):
            def Export(self, request, context):  # noqa: N802 - gRPC's name
                backend.metrics.append(request)
                return ExportMetricsServiceResponse()

        self._server = grpc.server(ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(Traces(), self._server)
        add_MetricsServiceServicer_to_server(Metrics(), self._server)
        assert self._server.add_insecure_port(f"{HOST}:{port}") == port
        self._server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait(10)

    def roots(self):
        return [one for one in self.spans if one.kind == one.SPAN_KIND_SERVER]


def test_the_same_trace_arrives_as_by_http(tmp_path):
    trace = trace_of(asgi_request(client=False), "all")
    assert takes_encoded(ByHttp)
    with Jaeger(tmp_path) as jaeger:
        arrived = []
        by_http = OtlpHttpExporter(ByHttp(endpoint=f"{jaeger.endpoint}/v1/traces"), LIMITS)
        by_grpc = ReadableSpanExporter(ByGrpc(endpoint=jaeger.grpc_endpoint), LIMITS)
        for exporter in (by_http, by_grpc):
            (parts,) = exporter.encode(SpanBatch([trace]), 1000)
            assert exporter.export(parts)
            exporter.shutdown()
            found = jaeger.trace(f"{trace.trace_id:032x}")
            arrived.append(sorted(found, key=lambda one: one.span_id))
            jaeger.stop()
            jaeger.start()
    assert len(arrived[0]) == len(trace.spans)
    assert arrived[0] == arrived[1]


def test_grpc_s_exporter_is_used_as_it_is_meant_to_be():
    (quick, plain) = make_span_exporters([HTTP, "otlp_proto_grpc"], LIMITS)
    assert (type(quick), type(plain)) == (OtlpHttpExporter, ReadableSpanExporter)
    quick.shutdown()
    plain.shutdown()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A server whose backend comes late, goes, and comes back; what was told and recorded."""
    directory = tmp_path_factory.mktemp("grpc")
    recording, port = directory / "site.tracer", free_port()
    env = environment(
        DEMO_DATABASE=str(directory / "demo.sqlite3"),
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_HEADERS="who=us",
        OTEL_EXPORTER_OTLP_TIMEOUT="5",
        OTEL_BSP_SCHEDULE_DELAY="50",
        OTEL_METRIC_EXPORT_INTERVAL="200",
    )
    command = ("tracer", "run", "--record", str(recording), "--otlp", f"http://{HOST}:{port}")
    command = (*command, "--", sys.executable, "-m", *SERVERS["gunicorn-sync"])
    statuses = []
    with Server(command, env, directory / "log") as server:

        def ask():
            statuses.extend(server.ask()[0] for _ in range(EACH))

        with Backend(port) as first:
            ask()
            assert wait_for(lambda: len(first.roots()) == EACH and first.metrics, 30)
        ask()
        with Backend(port) as second:
            ask()
            assert wait_for(lambda: len(second.roots()) >= EACH, 30)
            server.stop()
            assert wait_for(lambda: not agents_of(recording), 30)
    return first, second, statuses, requests_in(recording), read_meta(recording)["export"]


def test_a_backend_that_goes_and_comes_back_harms_no_request_and_all_is_counted(run):
    first, second, statuses, recorded, told = run
    assert statuses == [200] * 3 * EACH
    assert len(recorded) == 3 * EACH
    assert told["exported_traces"] + told["failed_traces"] == 3 * EACH
    arrived = {one.trace_id.hex() for one in (*first.roots(), *second.roots())}
    assert len(arrived) >= told["exported_traces"] >= 2 * EACH
    assert arrived <= {one["trace_id"] for one in recorded}
    assert {one["who"] for one in first.metadata} == {"us"}


def test_metrics_go_by_grpc_too_and_say_all_in_the_end(run):
    _, second, _, recorded, told = run
    assert told["metrics"]["exports"] > 0
    (resource,) = second.metrics[-1].resource_metrics
    by_name = {one.name: one for scope in resource.scope_metrics for one in scope.metrics}
    (seen,) = by_name[SEEN.name].sum.data_points
    assert seen.as_int == 3 * EACH
    (point,) = by_name["http.server.request.duration"].exponential_histogram.data_points
    assert point.count == len(recorded)
