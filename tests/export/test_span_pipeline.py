from __future__ import annotations

import threading

from tests.support.server import wait_for
from tracer.analysis.spans.span_builder import spans_planner
from tracer.analysis.spans.span_levels import DEFAULT
from tracer.export import messages, span_pipeline
from tracer.export.frame_decoder import FrameDecoder
from tracer.export.span_pipeline import SpanPipeline
from tracer.export.timeline_buffer import SharedBatch
from tracer.export.trace_part import TracePart
from tracer.model import frames
from tracer.model.timeline import DONE, LAST, ROOT, STEP, Timeline
from tracer.settings.otlp import Settings

WORKER, BAD = 1, 3


class Exporter:
    """Keeps the sequences of what it encodes and exports; can't encode one of them."""

    def __init__(self):
        self.sent, self.encoding, self.gate = [], False, threading.Event()
        self.gate.set()

    def encode(self, batch, most):
        self.encoding = True
        assert most
        self.gate.wait(10)
        numbers = [trace.trace_id for trace in batch.traces()]
        if BAD in numbers:
            raise ValueError("no room for a number")
        return [[TracePart(7, 1, number)] for number in numbers]

    def export(self, parts):
        self.sent += [one.content for one in parts]
        return True

    def shutdown(self):
        """Nothing is open."""


def frame_of(number):
    timeline = Timeline(number, 1_000, 1, 1)
    for mark in ((STEP, 1_000, 1, ROOT), (LAST, 1_500, 1, 0), (DONE, 1_600, 1, 0)):
        timeline.append(mark)
    return frames.closed(timeline, 1_700, (number, number, None))


def shared(numbers):
    decoder = FrameDecoder()
    decoder.learn(messages.description(WORKER, {"pid": 7}))
    decoder.learn(messages.names(WORKER, ["wsgi"]))
    timelines = [(WORKER, frame_of(number)) for number in numbers]
    planned = spans_planner(DEFAULT).plan(*decoder.decode(timelines))
    return SharedBatch(planned, sum(len(frame) for _, frame in timelines))


def test_a_trace_that_cannot_be_encoded_costs_only_itself():
    exporter, changes = Exporter(), []
    spans = SpanPipeline(Settings(()), [exporter], lambda: changes.append(1))
    spans.take(shared(range(1, 6)), sheds=False)
    assert wait_for(lambda: spans.refused == 1)
    spans.take(shared([6]), sheds=False)
    spans.refuse()
    spans.shutdown()
    assert sorted(exporter.sent) == [1, 2, 4, 5, 6]
    assert (spans.counts()["exported_traces"], spans.counts()["failed_traces"]) == (5, 2)
    assert changes


def test_what_nobody_can_wait_for_is_shed_whole_and_counted_once(monkeypatch):
    monkeypatch.setattr(span_pipeline, "_MOST", 0)
    exporter = Exporter()
    exporter.gate.clear()
    spans = SpanPipeline(Settings((), batch=1, queue=1), [exporter], lambda: None)
    for number in range(1, 9, 4):
        spans.take(shared(range(10 * number, 10 * number + 4)), sheds=True)
        assert wait_for(lambda: exporter.encoding)
    spans.take(shared([90]), sheds=True)
    exporter.gate.set()
    spans.shutdown()
    counts = spans.counts()
    assert counts["shed_traces"] > 0
    assert counts["exported_traces"] + counts["shed_traces"] == 9
    assert len(exporter.sent) == counts["exported_traces"]
