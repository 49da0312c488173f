from __future__ import annotations

from tests.support import builders
from tracer.agent.live import snapshot
from tracer.analysis.statistics.tally import Tallies
from tracer.analysis.statistics.window_stats import together, window_stats


def told(requests, at_ns):
    tallies = Tallies()
    for one in requests:
        tallies.add(one)
    return {**snapshot(tallies, 0), "at_ns": at_ns}


def test_what_came_between_two_snapshots_is_counted_alone():
    slow = [builders.asgi_request(10_000_000) for _ in range(3)]
    quick = [builders.asgi_request() for _ in range(20)]
    other = [builders.wsgi_request(route="other/")]
    before, now = told(slow, 0), told([*slow, *quick, *other], 2_000_000_000)
    found = {one.route: one for one in window_stats(now, before)}
    assert {name: one.requests for name, one in found.items()} == {"test/": 20, "other/": 1}
    one = found["test/"]
    assert one.rate(one.requests) == 10
    assert one.each(one.handoffs) == 8
    assert one.handoffs_after_response == 20
    assert one.latency.sum_ns == sum(request.duration_ns for request in quick)
    assert abs(one.latency.quantile(0.99) / quick[0].duration_ns - 1) < 0.01
    assert abs(sum(one.share(layer) for layer in one.layers) - 1) < 1e-9
    whole = together(found.values(), 2.0)
    assert (whole.requests, whole.rate(whole.requests)) == (21, 10.5)


def test_without_an_earlier_one_all_is_counted_and_there_is_no_rate():
    (one,) = window_stats(told([builders.asgi_request()] * 4, 10), None)
    assert (one.requests, one.rate(one.requests), one.errors) == (4, 0, 0)


def test_what_stands_still_is_not_shown_and_a_new_recording_begins_anew():
    few = told([builders.asgi_request()] * 3, 10)
    assert window_stats({**few, "at_ns": 20}, few) == []
    many = told([builders.asgi_request()] * 9, 0)
    (one,) = window_stats({**few, "at_ns": 20}, many)
    assert one.requests == 3


def test_weights_are_applied():
    (one,) = window_stats(told([builders.asgi_request(weight=4.0)] * 2, 10), None)
    assert (one.requests, one.handoffs) == (8, 64)
    assert one.latency.quantile(0.5) > 0
