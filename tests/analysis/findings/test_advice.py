from __future__ import annotations

import pytest

from tests.support import builders
from tracer.analysis.attribution.request import Segment
from tracer.analysis.findings.advice import findings
from tracer.analysis.statistics.measurement import Round, SeamStatus

ASYNC_VIEW = "shop.views.live"


def found_in(requests, **fields):
    one = builders.one_round(requests, client=fields.pop("client", False))
    found = findings([builders.measurement([one], **fields)])
    return {finding["id"]: finding for finding in found}


def plain(**fields):
    """Return an ASGI request of an async view that nothing can be said about."""
    building = builders.Building().spend(100_000, "server").spend(300_000, "view", ASYNC_VIEW)
    return building.done(**fields)


def changed(request, segment, **fields):
    """Return the request with one more segment at its start."""
    building = builders.Building(request.start_ns)
    building.segments, building.now = [segment], segment.end_ns
    for one in request.segments:
        building.spend(one.duration_ns, one.layer, one.detail)
    return building.done(**fields)


def waiting(layer, detail, ns=500_000, **fields):
    request = plain()
    start = request.start_ns
    return changed(request, Segment(start, start + ns, layer, detail), **fields)


def test_a_quiet_configuration_has_no_findings():
    assert found_in([plain(), plain()]) == {}
    assert findings([builders.measurement([])]) == []


def test_middlewares_adapted_one_by_one_are_named_counted_and_priced():
    found = found_in([builders.asgi_request()])["middleware_adapted_one_by_one"]
    assert found["title"] == (
        "`SessionMiddleware` and 2 others are adapted one by one: 6 hand-offs, 0.42 ms"
    )
    assert found["predicted_saving_ns"] == 6 * 70_000
    assert found["prediction"] == "estimate"
    assert set(found["evidence"]["middlewares"]) == set(builders.MIDDLEWARES)
    assert found["evidence"]["configuration"] == "asgi"


def test_an_adapted_process_view_belongs_to_its_middleware():
    building = builders.Building()
    csrf = builders.MIDDLEWARES[-1]
    building.hop(builders.CORE, f"{csrf}.process_view", 5_000, "middleware", csrf)
    found = found_in([building.done()])["middleware_adapted_one_by_one"]
    assert found["title"].startswith("`CsrfViewMiddleware` is adapted method by method: 1 hand-off")


def test_sync_views_under_asgi_cost_all_hand_offs():
    request = builders.asgi_request()
    found = found_in([request])["sync_views_under_asgi"]
    assert found["predicted_saving_ns"] == request.layers["handoff"]
    assert found["evidence"]["views"] == [builders.VIEW]
    assert "sync_views_under_asgi" not in found_in([plain()])


def test_threads_started_cost_what_their_hand_offs_take_more_than_others():
    found = found_in([builders.asgi_request()])["threads_started"]
    assert found["predicted_saving_ns"] == 200_000
    assert "only to join the first" in found["advice"]
    assert found["evidence"]["threads_started_after_response_per_request"] == 1
    older = found_in([builders.asgi_request(threads_started=1, threads_started_after_response=0)])
    assert "join the first" not in older["threads_started"]["advice"]


def test_a_connection_for_each_request_is_found_under_asgi():
    request = waiting("view", ASYNC_VIEW, connections_opened=1)
    start = request.start_ns
    connect = Segment(start, start + 700_000, "view", ASYNC_VIEW, part="connect")
    request = changed(plain(), connect, connections_opened=1)
    found = found_in([request, request])["connection_per_request"]
    assert found["predicted_saving_ns"] == 700_000
    assert "thread of its own" in found["advice"]


def test_connections_that_are_used_again_are_no_finding():
    start = plain().start_ns
    query = Segment(start, start + 1_000, "view", ASYNC_VIEW, part="query")
    first = changed(plain(), query, connections_opened=1)
    again = changed(plain(), query)
    assert "connection_per_request" not in found_in([first, again, again])
    assert "connection_per_request" not in found_in([plain(), plain()])


def test_a_sync_only_middleware_above_adapted_ones_should_move():
    building = builders.Building()
    timing = "shop.middleware.Timing"
    building.hop("django.core.handlers.asgi:run", timing, 5_000, "middleware", timing)
    building.hop(f"{timing}.__call__", "inner", 0, "view", None, direction="to_loop")
    for name in builders.MIDDLEWARES:
        building.hop(builders.ADAPTER, f"{name}.process_request", 5_000, "middleware", name)
    found = found_in([building.done()])["sync_only_middleware_order"]
    assert found["title"].startswith(
        "Sync-only middleware (`middleware.Timing`) stands above 3 middlewares"
    )
    assert found["predicted_saving_ns"] == 3 * 70_000
    assert "sync_only_middleware_order" not in found_in([builders.asgi_request()])


def test_hand_offs_that_the_users_own_code_repeats_should_be_gathered():
    building = builders.Building()
    for _ in range(4):
        building.hop("shop.views:live", "shop.models.load", 5_000, "view", ASYNC_VIEW)
    found = found_in([building.done()])["repeated_handoffs"]
    assert "asks for 4 hand-offs" in found["title"]
    assert found["predicted_saving_ns"] == 3 * 70_000


def test_queueing_on_a_busy_thread_is_priced_by_its_phase():
    building = builders.Building()
    building.hop("shop.views:live", "shop.load", 1, "view", None, phases={"queue": 400_000})
    found = found_in([building.done()])["queueing_on_a_thread"]
    assert found["predicted_saving_ns"] == 400_000
    assert "queueing_on_a_thread" not in found_in([builders.asgi_request()])


def test_a_wake_up_of_a_switch_interval_is_the_gil():
    requests = [builders.asgi_request(wake_ns=5_100_000) for _ in range(2)]
    found = found_in(requests)["waiting_for_the_gil"]
    assert found["evidence"]["wake_p50_ns"] == 5_100_000
    assert "waiting_for_the_gil" not in found_in([builders.asgi_request()])


def test_a_loop_busy_with_others_is_charged_to_the_culprit():
    found = found_in([waiting("event_loop", "shop.views.block")])["loop_busy_with_others"]
    assert "`shop.views.block`" in found["title"]
    assert found["predicted_saving_ns"] == 500_000


@pytest.mark.parametrize("detail", [None, "turn", "timer granularity"])
def test_the_loops_own_turn_is_nobodys_fault(detail):
    assert found_in([waiting("event_loop", detail)]) == {}


def test_work_after_the_response_that_delays_others_is_priced_by_the_delay():
    found = found_in([waiting("event_loop", "after_response of shop.views.x")])
    assert set(found) == {"work_after_the_response"}
    assert found["work_after_the_response"]["predicted_saving_ns"] == 500_000


def test_much_work_after_the_response_is_told_even_where_it_delays_nobody():
    owned = Segment(10, 900_010, "handler", "shop.receivers.log")
    request = plain(after_response=(owned,), after_response_ns=900_000)
    found = found_in([request])["work_after_the_response"]
    assert (found["predicted_saving_ns"], found["prediction"]) == (0, "none")
    assert found["evidence"]["owners"][0]["detail"] == "shop.receivers.log"


def test_an_accept_queue_is_the_work_after_responses_where_that_explains_it():
    request = waiting("server", "accept queue")
    assert set(found_in([request])) == {"waiting_for_a_worker"}
    late = waiting("server", "accept queue", after_response_ns=5_000_000)
    assert set(found_in([late])) == {"work_after_the_response"}


def test_debug_modes_errors_drops_and_gaps_are_told():
    environment = {**builders.ENVIRONMENT, "debug": True, "asyncio_debug": True}
    seams = (SeamStatus("uvicorn:run_asgi", "refused", "unknown signature"),)
    requests = [waiting("unattributed", None), plain(status=500, outcome="error")]
    found = found_in(requests, environment=environment, seams=seams, dropped_timelines=3)
    assert {"debug", "asyncio_debug", "errors", "dropped_timelines", "unattributed"} <= set(found)
    assert found["unattributed"]["evidence"]["seams_absent"] == ["uvicorn:run_asgi"]
    assert found["errors"]["evidence"]["errors"] == 1


def moved_by(factor):
    requests = [builders.asgi_request() for _ in range(5)]
    control = tuple(int(request.duration_ns / factor) for request in requests)
    rounds = [builders.one_round(requests), Round(1, traced=False, latencies_ns=control)]
    return findings([builders.measurement(rounds)])


def test_tracing_that_moved_the_median_is_said_first():
    found = moved_by(1.2)
    assert found[0]["id"] == "tracing_moved_the_median"
    assert found[0]["title"].startswith("Tracing itself made asgi 20 % slower")
    assert "not steady" in moved_by(0.8)[0]["title"]
    assert all(one["id"] != "tracing_moved_the_median" for one in moved_by(1.03))


def test_findings_come_by_predicted_saving():
    savings = [one["predicted_saving_ns"] for one in findings([builders.pair()[1]])]
    assert len(savings) > 1
    assert savings == sorted(savings, reverse=True)


def test_a_comparison_looks_for_causes_in_the_slower_one_only():
    found = findings(builders.pair())
    assert {one["evidence"]["configuration"] for one in found} == {"asgi"}
    swapped = findings(builders.pair()[::-1])
    assert [one["id"] for one in swapped] == [one["id"] for one in found]


def test_what_makes_figures_doubtful_is_told_of_the_faster_one_too():
    wsgi, asgi = builders.pair(rounds=2, each=4)
    environment = {**builders.ENVIRONMENT, "debug": True}
    wsgi = builders.measurement(wsgi.rounds, "wsgi", environment=environment)
    told = {one["id"]: one["evidence"]["configuration"] for one in findings([wsgi, asgi])}
    assert told["debug"] == "wsgi"
