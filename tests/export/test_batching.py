from __future__ import annotations

import threading
import time

from tests.support.server import wait_for
from tracer.export import batching
from tracer.export.batching import Batcher, Item


class Outlet:
    """Keeps the sizes of batches; `gate` lets them through."""

    def __init__(self):
        self.batches, self.gate, self.works = [], threading.Event(), True
        self.gate.set()

    def send(self, parcels):
        self.gate.wait(10)
        self.batches.append(list(parcels))
        return self.works

    def close(self):
        self.gate.set()


def batcher(outlet, *, delay_s=60.0, queue=100, batch=10):
    return Batcher([outlet], delay_s=delay_s, queue=queue, batch=batch, told=lambda: None)


def trace(name, count=4):
    return [Item(count, (name,), last=True)]


def test_a_batch_is_sent_when_there_are_enough_spans_and_holds_whole_traces():
    outlet = Outlet()
    one = batcher(outlet)
    for name in "abcde":
        one.put(trace(name))
    assert wait_for(lambda: len(outlet.batches) == 2)
    assert outlet.batches == [["a", "b"], ["c", "d"]]
    one.close(5)
    assert outlet.batches[2:] == [["e"]]
    assert one.tally.document() == {
        "exported_traces": 5,
        "exported_spans": 20,
        "failed_traces": 0,
        "failed_spans": 0,
    }


def test_fewer_spans_are_sent_after_the_delay():
    outlet = Outlet()
    one = batcher(outlet, delay_s=0.2)
    one.put(trace("a"))
    time.sleep(0.05)
    assert outlet.batches == []
    assert wait_for(lambda: outlet.batches == [["a"]], 2)
    one.close(5)


def test_a_full_queue_makes_who_puts_wait_and_takes_a_trace_whole():
    outlet = Outlet()
    outlet.gate.clear()
    one = batcher(outlet, queue=12)
    putting = threading.Thread(target=lambda: [one.put(trace(name)) for name in "abcdefgh"])
    putting.start()
    time.sleep(0.2)
    assert putting.is_alive()
    outlet.gate.set()
    putting.join(5)
    assert not putting.is_alive()
    one.close(5)
    assert sorted(name for batch in outlet.batches for name in batch) == list("abcdefgh")


def test_a_trace_longer_than_the_queue_is_sent_all_the_same():
    outlet = Outlet()
    one = batcher(outlet, queue=12)
    one.put([Item(10, ("a",), last=False), Item(10, ("b",), last=True)])
    assert wait_for(lambda: outlet.batches == [["a"], ["b"]])
    one.close(5)
    assert one.tally.exported_traces == 1


def test_what_does_not_arrive_is_counted_and_a_trace_torn_by_it_too():
    outlet = Outlet()
    one = batcher(outlet)
    one.put([Item(10, ("a",), last=False), Item(10, ("b",), last=True)])
    assert wait_for(lambda: len(outlet.batches) == 2)
    outlet.works = False
    one.put(trace("c", 10))
    assert wait_for(lambda: one.tally.failed_traces == 1)
    one.close(5)
    assert (one.tally.exported_traces, one.tally.failed_spans) == (1, 10)


def test_a_backend_that_was_away_is_not_waited_for_long_at_the_end(monkeypatch):
    monkeypatch.setattr(batching, "_AWAY_S", 0.2)
    outlet = Outlet()
    outlet.works = False
    one = batcher(outlet)
    one.put(trace("a", 10))
    assert wait_for(lambda: one.tally.failed_traces == 1)
    outlet.gate.clear()
    for name in "bcd":
        one.put(trace(name, 10))
    began = time.monotonic()
    one.close(30)
    assert time.monotonic() - began < 5
    assert one.tally.failed_traces == 4
