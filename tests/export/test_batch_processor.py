from __future__ import annotations

import threading
import time

from tests.support.server import wait_for
from tracer.export import batch_processor
from tracer.export.batch_processor import BatchProcessor, QueuedPart


class Exporter:
    """Keeps the sizes of batches; `gate` lets them through."""

    def __init__(self):
        self.batches, self.gate, self.works = [], threading.Event(), True
        self.gate.set()

    def export(self, parts):
        self.gate.wait(10)
        self.batches.append(list(parts))
        return self.works

    def shutdown(self):
        self.gate.set()


def processor(exporter, *, delay_s=60.0, queue=100, batch=10):
    return BatchProcessor(
        [exporter], delay_s=delay_s, queue=queue, batch=batch, on_change=lambda: None
    )


def trace(name, count=4):
    return [QueuedPart(count, (name,), last=True)]


def test_a_batch_is_sent_when_there_are_enough_spans_and_holds_whole_traces():
    exporter = Exporter()
    one = processor(exporter)
    for name in "abcde":
        one.enqueue(trace(name))
    assert wait_for(lambda: len(exporter.batches) == 2)
    assert exporter.batches == [["a", "b"], ["c", "d"]]
    one.shutdown(5)
    assert exporter.batches[2:] == [["e"]]
    assert one.counts.document() == {
        "exported_traces": 5,
        "exported_spans": 20,
        "failed_traces": 0,
        "failed_spans": 0,
    }


def test_fewer_spans_are_sent_after_the_delay():
    exporter = Exporter()
    one = processor(exporter, delay_s=0.2)
    one.enqueue(trace("a"))
    time.sleep(0.05)
    assert exporter.batches == []
    assert wait_for(lambda: exporter.batches == [["a"]], 2)
    one.shutdown(5)


def test_a_full_queue_makes_who_puts_wait_and_takes_a_trace_whole():
    exporter = Exporter()
    exporter.gate.clear()
    one = processor(exporter, queue=12)
    putting = threading.Thread(target=lambda: [one.enqueue(trace(name)) for name in "abcdefgh"])
    putting.start()
    time.sleep(0.2)
    assert putting.is_alive()
    exporter.gate.set()
    putting.join(5)
    assert not putting.is_alive()
    one.shutdown(5)
    assert sorted(name for batch in exporter.batches for name in batch) == list("abcdefgh")


def test_a_trace_longer_than_the_queue_is_sent_all_the_same():
    exporter = Exporter()
    one = processor(exporter, queue=12)
    one.enqueue([QueuedPart(10, ("a",), last=False), QueuedPart(10, ("b",), last=True)])
    assert wait_for(lambda: exporter.batches == [["a"], ["b"]])
    one.shutdown(5)
    assert one.counts.exported_traces == 1


def test_what_does_not_arrive_is_counted_and_a_trace_torn_by_it_too():
    exporter = Exporter()
    one = processor(exporter)
    one.enqueue([QueuedPart(10, ("a",), last=False), QueuedPart(10, ("b",), last=True)])
    assert wait_for(lambda: len(exporter.batches) == 2)
    exporter.works = False
    one.enqueue(trace("c", 10))
    assert wait_for(lambda: one.counts.failed_traces == 1)
    one.shutdown(5)
    assert (one.counts.exported_traces, one.counts.failed_spans) == (1, 10)


def test_a_backend_that_was_away_is_not_waited_for_long_at_the_end(monkeypatch):
    monkeypatch.setattr(batch_processor, "_AWAY_S", 0.2)
    exporter = Exporter()
    exporter.works = False
    one = processor(exporter)
    one.enqueue(trace("a", 10))
    assert wait_for(lambda: one.counts.failed_traces == 1)
    exporter.gate.clear()
    for name in "bcd":
        one.enqueue(trace(name, 10))
    began = time.monotonic()
    one.shutdown(30)
    assert time.monotonic() - began < 5
    assert one.counts.failed_traces == 4
