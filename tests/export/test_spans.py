from __future__ import annotations

from tests.support.server import wait_for
from tracer.export import messages
from tracer.export.batching import Item
from tracer.export.spans import Spans
from tracer.model import frames
from tracer.model.timeline import DONE, LAST, ROOT, STEP, Timeline
from tracer.settings.otlp import Settings

WORKER, BAD = 1, 3


class Outlet:
    """Keeps the sequences of what it packs and sends; can't pack one of them."""

    def __init__(self):
        self.sent = []

    def pack(self, drawing, most):
        assert most == Settings(()).batch
        numbers = [trace.trace_id for trace in drawing.traces()]
        if BAD in numbers:
            raise ValueError("no room for a number")
        return [[Item(1, (number,), last=True)] for number in numbers]

    def send(self, parcels):
        self.sent += [one.parcels[0] for one in parcels]
        return True

    def close(self):
        """Nothing is open."""


def frame_of(number):
    timeline = Timeline(number, 1_000, 1, 1)
    for mark in ((STEP, 1_000, 1, ROOT), (LAST, 1_500, 1, 0), (DONE, 1_600, 1, 0)):
        timeline.append(mark)
    return frames.closed(timeline, 1_700, (number, number, None))


def test_a_trace_that_cannot_be_packed_costs_only_itself():
    outlet, told = Outlet(), []
    spans = Spans(Settings(()), [outlet], lambda: told.append(1), sheds=False)
    spans.take(messages.description(WORKER, {"pid": 7}))
    spans.take(messages.names(WORKER, ["wsgi"]))
    for number in range(1, 6):
        spans.take(messages.Message(frames.TIMELINE, WORKER, frame_of(number)))
    spans.take(messages.Message(frames.TIMELINE, WORKER, b"nonsense"))
    assert wait_for(lambda: spans.refused == 2)
    spans.take(messages.Message(frames.TIMELINE, WORKER, frame_of(6)))
    spans.close()
    assert sorted(outlet.sent) == [1, 2, 4, 5, 6]
    assert (spans.tally()["exported_traces"], spans.tally()["failed_traces"]) == (5, 2)
    assert told
