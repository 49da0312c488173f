from __future__ import annotations

import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import timelines
from tests.support.strategies import ANY, BUSY, GARBAGE, HEADS, PROGRAMS
from tests.support.timelines import START_NS, WORKER, SymbolicTimeline
from tracer.analysis.attribution.attribute import attribute
from tracer.analysis.attribution.client import widen
from tracer.analysis.attribution.request import Client
from tracer.reports.json import jsonl

STAMPS = st.integers(START_NS - 500_000, START_NS + 1_000_000) | ANY
CLIENTS = st.builds(Client, STAMPS, STAMPS, STAMPS, st.integers(0, 2_000_000) | ANY)
CULPRITS = st.lists(st.tuples(STAMPS, STAMPS, st.sampled_from(("a view", "turn"))), max_size=6)
FLOORS = st.integers(0, 500_000)
LATE_NS, BEFORE_NS, BACK_NS = 7_000, 40_000, 30_000


def wellformed(program=(("work", 1_000),), after=(), interface=1):
    story = SymbolicTimeline()
    story.tell(program, after)
    finish = timelines.head(finish_ns=story.now, interface=interface)
    return attribute(finish, story.marks, WORKER, ())


def around(request, before_ns=BEFORE_NS, back_ns=BACK_NS, late_ns=0):
    end = request.end_ns + back_ns
    return Client(request.start_ns - before_ns, end - 1, end, late_ns)


@settings(max_examples=100, deadline=None)
@given(st.tuples(PROGRAMS, PROGRAMS), BUSY, CLIENTS, CULPRITS, FLOORS)
def test_any_clients_stamps_keep_the_tiling(programs, busy, client, blockers, floor):
    story = SymbolicTimeline()
    story.tell(*programs)
    request = attribute(timelines.head(finish_ns=story.now), story.marks, WORKER, busy)
    widened = widen(request, client, blockers, floor)
    timelines.check_tiling(widened)
    assert widened.window == "client"
    assert (widened.start_ns, widened.client) == (client.send_ns, client)
    stream = io.StringIO()
    jsonl([widened], stream)
    assert json.loads(stream.getvalue())["client"]["send_ns"] == client.send_ns


@settings(max_examples=100, deadline=None)
@given(HEADS, GARBAGE, CLIENTS, CULPRITS, FLOORS | ANY)
def test_garbage_widened_by_any_client_still_tiles(head, marks, client, blockers, floor):
    timelines.check_tiling(widen(attribute(head, marks, WORKER, ()), client, blockers, floor))


@settings(max_examples=60, deadline=None)
@given(PROGRAMS)
def test_within_the_servers_window_nothing_changes(program):
    request = wellformed(program)
    widened = widen(request, around(request), (), 1_000_000)
    inside = [s for s in widened.segments if s.layer != "network"]
    assert inside == list(request.segments)
    assert widened.layers["network"] == BEFORE_NS + BACK_NS
    assert widened.layers["unattributed"] == request.layers["unattributed"]


def test_the_network_gets_no_more_than_its_floor_and_the_clients_own_delay():
    request = wellformed()
    widened = widen(request, around(request, late_ns=LATE_NS), (), 50_000)
    assert widened.layers["network"] == 50_000 + LATE_NS
    assert widened.layers["unattributed"] == BEFORE_NS + BACK_NS - 50_000 - LATE_NS
    assert widened.segments[-1].detail == "client"
    assert widened.segments[-1].duration_ns == LATE_NS


def test_a_busy_loop_before_the_first_touch_is_the_culprits():
    request = wellformed()
    busy = [(START_NS - 30_000, START_NS - 1_000, "shop.views.block")]
    widened = widen(request, around(request), busy, 0)
    blamed = [s for s in widened.segments if s.detail == "shop.views.block"]
    assert [(s.layer, s.state, s.duration_ns) for s in blamed] == [("event_loop", "wait", 29_000)]
    (turn,) = [s for s in widened.segments if s.detail == "turn" and s.layer == "event_loop"]
    assert turn.duration_ns == 1_000
    assert widened.layers["unattributed"] == BEFORE_NS - 30_000 + BACK_NS


def test_a_worker_that_was_busy_when_the_bytes_came_has_them_waiting_however_late_it_looks():
    request = wellformed()
    busy = [(START_NS - 900_000, START_NS - 400_000, "shop.views.block")]
    client = around(request, before_ns=800_000)
    found = widen(request, client, busy, 50_000)
    assert found.layers["event_loop"] == 800_000
    idle_again = widen(request, around(request, before_ns=420_000), busy, 50_000)
    assert idle_again.layers["event_loop"] == 20_000
    assert idle_again.layers["unattributed"] == 400_000 + BACK_NS - 50_000


def test_a_busy_wsgi_worker_before_the_first_touch_is_an_accept_queue():
    request = wellformed(interface=10)
    busy = [(START_NS - 30_000, START_NS, "shop.views.slow")]
    widened = widen(request, around(request), busy, 0)
    assert next(s.detail for s in widened.segments if s.layer == "server") == "accept queue"
    assert request.interface == "wsgi"


def test_work_after_the_response_that_the_client_waited_for_is_inside_its_window():
    request = wellformed(after=(("scope", "handler", [("work", 20_000)]),))
    assert request.after_response_ns == 20_000
    widened = widen(request, around(request, back_ns=5_000), (), 1_000_000)
    assert widened.after_response_ns == 15_000
    timelines.check_tiling(widened)


def test_a_client_that_gave_up_before_the_server_answered_sees_its_own_end():
    request = wellformed((("scope", "view", [("work", 500_000)]),))
    client = Client(request.start_ns - 10, request.start_ns, request.start_ns + 100_000)
    widened = widen(request, client, (), 10)
    assert widened.end_ns == client.last_byte_ns
    assert widened.layers["view"] == 100_000
    assert widened.after_response_ns == request.end_ns - client.last_byte_ns
