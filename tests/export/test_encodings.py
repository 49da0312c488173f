from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import SpanLimits

from tests.analysis.spans.test_span_builder import WORKER, batch_of, timeline_of
from tests.export.backend import Backend, spans_of
from tests.support.builders import VIEW, asgi_request, wsgi_request
from tests.support.timelines import LOOP, START_NS
from tracer.analysis.attribution.request import Thread
from tracer.analysis.spans.span_builder import SpanBatch, SpanBuilder
from tracer.analysis.spans.span_levels import LEVELS
from tracer.analysis.spans.span_row import SpanRow
from tracer.analysis.spans.spans import trace_of
from tracer.export.readable_spans import readable_spans
from tracer.export.span_encoder import SpanEncoder
from tracer.export.span_exporters import (
    Encoded,
    OtlpHttpExporter,
    ReadableSpanExporter,
    takes_encoded,
)
from tracer.export.span_limits import Limits
from tracer.model.frames import Busy
from tracer.model.nametable import CodeLocation

NO_LIMITS = Limits(SpanLimits())
CALLER = f"{77:016x}"
THREADS = (Thread(7, 2**47 + 1, "MainThread"),)
PLACES = {VIEW: CodeLocation("/site/views.py", 3)}
REQUESTS = [
    asgi_request(client=False, threads=THREADS, places=PLACES, scheme="https", server_port=443),
    asgi_request(client=False, parent_span_id=CALLER, seams_absent=("a:b", "c:d")),
    wsgi_request(client=False, status=500, outcome="error", error_type="ValueError", pid=2),
    wsgi_request(client=False, route=None, target="/some/päth", method="BREW", weight=2.5, pid=2),
    wsgi_request(client=False, weight=2.0, trace_id="f" * 32),
    wsgi_request(client=False, weight_known=False),
]


def both_ways(batch, limits=NO_LIMITS, encoder=None):
    """The messages of the two encodings."""
    encoder = encoder or SpanEncoder(limits)
    parts = [part for trace in encoder.encode(batch, 10_000) for part in trace]
    ours = ExportTraceServiceRequest.FromString(encoder.request(parts))
    spans = [span for trace in batch.traces() for span in readable_spans(trace, limits)]
    return ours, encode_spans(spans)


@pytest.mark.parametrize("level", LEVELS)
def test_both_encodings_say_the_same(level):
    ours, theirs = both_ways(SpanBatch([trace_of(one, level) for one in REQUESTS]))
    assert len(spans_of(ours)) > 40
    assert ours == theirs
    said = {attribute.key for span in spans_of(ours) for attribute in span.attributes}
    assert {"thread.id", "thread.name", "code.file.path", "url.scheme", "server.port"} <= said


def of_one_shape(level):
    """Requests of one shape that others waited beside, and that didn't come alone."""
    program = [("scope", "view", [("hop", (9, 9, 9, 90), [("query", 5)], True, None)])]
    busy = [Busy(START_NS + at, START_NS + at + 3, LOOP, 0, 3) for at in range(11, 200, 9)]
    several = [timeline_of(program, [("work", 3)], number, number) for number in (1, 2, 3)]
    batch = SpanBuilder(level).build(batch_of(several, busy), {1: WORKER})
    assert all(isinstance(one, SpanRow) for one in batch.requests)
    return batch


@pytest.mark.parametrize("level", LEVELS)
def test_a_prepared_message_used_again_and_again_says_the_same(level):
    batch, encoder = of_one_shape(level), SpanEncoder(NO_LIMITS)
    for _ in range(70):
        ours, theirs = both_ways(batch, encoder=encoder)
        assert ours == theirs
    assert any(one.extras for one in batch.requests) or level == "layers"
    assert any(one.lost for one in batch.requests) or level == "all"
    said = {attribute.key for span in spans_of(ours) for attribute in span.attributes}
    assert {"thread.id", "thread.name", "code.file.path", "server.port"} <= said


def test_a_prepared_message_does_not_grow_with_its_use():
    batch, encoder = of_one_shape("handoffs"), SpanEncoder(NO_LIMITS)

    def grown(times):
        before = resident_bytes()
        for _ in range(times):
            encoder.encode(batch, 10_000)
        return resident_bytes() - before

    grown(500)
    assert grown(5_000) < 2 << 20


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_spans_say_how_many_requests_they_stand_for_where_that_is_known():
    for one, state in zip(
        REQUESTS, ("ot=th:0", "ot=th:0", "ot=th:0", "", "ot=th:8", ""), strict=True
    ):
        ours, _ = both_ways(SpanBatch([trace_of(one)]))
        assert {span.trace_state for span in spans_of(ours)} == {state}


@pytest.mark.parametrize("level", LEVELS)
def test_both_encodings_keep_to_the_limits(level):
    limits = Limits(SpanLimits(max_span_attributes=6, max_span_attribute_length=7, max_events=2))
    alone = SpanBatch([trace_of(one, level) for one in REQUESTS])
    for batch in (alone, of_one_shape(level)):
        ours, theirs = both_ways(batch, limits)
        assert ours == theirs
        for span in spans_of(ours):
            assert len(span.attributes) <= 6
            assert len(span.events) <= 2
            assert all(len(one.value.string_value) <= 7 for one in span.attributes)


def test_a_trace_longer_than_a_batch_is_sent_in_parts_that_are_whole_together():
    trace = trace_of(REQUESTS[0], "all")
    encoder = SpanEncoder(NO_LIMITS)
    (parts,) = encoder.encode(SpanBatch([trace]), 10)
    assert max(part.size for part in parts) == 10
    found = [
        span.span_id
        for part in parts
        for span in spans_of(ExportTraceServiceRequest.FromString(encoder.request([part])))
    ]
    assert found == [one.span_id.to_bytes(8, "big") for one in trace.spans]


def test_the_exporter_passes_bytes_as_they_are_and_spans_as_ever():
    assert takes_encoded(OTLPSpanExporter)
    trace = trace_of(REQUESTS[1], "handoffs")
    with Backend() as backend:
        sdk = OTLPSpanExporter(endpoint=f"{backend.url}/v1/traces", headers={"who": "us"})
        for exporter in (OtlpHttpExporter(sdk, NO_LIMITS), ReadableSpanExporter(sdk, NO_LIMITS)):
            (parts,) = exporter.encode(SpanBatch([trace]), 1000)
            assert exporter.export(parts)
        quick, slow = backend.requests()
        assert quick == slow
        assert [one["who"] for one in backend.heads] == ["us", "us"]


class Changed(OTLPSpanExporter):
    """An exporter that doesn't send what it is given as it is."""

    def export(self, spans):
        return super().export(Encoded(b"", 0))


def test_an_exporter_that_is_not_as_expected_is_used_as_it_is_meant_to_be():
    assert not takes_encoded(Changed)


def test_a_failed_request_is_an_error_and_a_handled_exception_none():
    failed = trace_of(REQUESTS[2]).spans[0]
    assert failed.failed
    assert failed.attributes["error.type"] == "ValueError"
    handled = replace(REQUESTS[2], status=404, outcome="complete")
    fine = trace_of(handled).spans[0]
    assert not fine.failed
    assert "error.type" not in fine.attributes
    assert fine.attributes["tracer.exception"] == "ValueError"


def test_methods_nobody_knows_and_paths_make_no_names():
    root = trace_of(REQUESTS[3]).spans[0]
    assert root.name == "HTTP"
    assert root.attributes["http.request.method"] == "_OTHER"
    assert root.attributes["http.request.method_original"] == "BREW"
    assert root.attributes["url.path"] == "/some/päth"
