from __future__ import annotations

from tests.support.live import wait_for
from tracer.export import messages
from tracer.export.span_pipeline import SpanPipeline
from tracer.export.trace_part import TracePart
from tracer.model import frames
from tracer.model.timeline import DONE, LAST, ROOT, STEP, Timeline
from tracer.settings.otlp import Settings

WORKER, BAD = 1, 3


class Exporter:
    """Keeps the sequences of what it encodes and exports; can't encode one of them."""

    def __init__(self):
        self.sent = []

    def encode(self, batch, most):
        assert most == Settings(()).batch
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


def test_a_trace_that_cannot_be_encoded_costs_only_itself():
    exporter, told = Exporter(), []
    spans = SpanPipeline(Settings(()), [exporter], lambda: told.append(1), sheds=False)
    spans.take(messages.description(WORKER, {"pid": 7}))
    spans.take(messages.names(WORKER, ["wsgi"]))
    for number in range(1, 6):
        spans.take(messages.Message(frames.TIMELINE, WORKER, frame_of(number)))
    spans.take(messages.Message(frames.TIMELINE, WORKER, b"nonsense"))
    assert wait_for(lambda: spans.refused == 2)
    spans.take(messages.Message(frames.TIMELINE, WORKER, frame_of(6)))
    spans.close()
    assert sorted(exporter.sent) == [1, 2, 4, 5, 6]
    assert (spans.tally()["exported_traces"], spans.tally()["failed_traces"]) == (5, 2)
    assert told
