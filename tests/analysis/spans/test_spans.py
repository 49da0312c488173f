from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings

from tests.support import timelines
from tests.support.builders import MIDDLEWARES, Building, asgi_request
from tests.support.strategies import BUSY, GARBAGE, HEADS, PROGRAMS
from tests.support.timelines import WORKER, SymbolicTimeline
from tracer.analysis.attribution.attribute import attribute
from tracer.analysis.spans.span_attributes import bucket
from tracer.analysis.spans.span_levels import LEVELS
from tracer.analysis.spans.spans import trace_of

thorough = settings(max_examples=50, deadline=None)
A, B, C = MIDDLEWARES


def check_trace(request, level):
    """Assert what holds for every trace; return it."""
    trace = trace_of(request, level)
    root, *below = trace.spans
    by_id = {one.span_id: one for one in trace.spans}
    assert len(by_id) == len(trace.spans)
    assert 0 not in by_id
    assert f"{root.span_id:016x}" == request.request_id
    assert root.end_ns - root.start_ns == request.duration_ns
    for one in below:
        assert one.start_ns <= one.end_ns
        parent = by_id[one.parent_id]
        late = "tracer.after_response" in one.attributes or "tracer.overlapped" in one.attributes
        if parent is not root or not late:
            assert parent.start_ns <= one.start_ns, one
            assert one.end_ns <= parent.end_ns, one
        assert all(one.start_ns <= at <= one.end_ns for _, at in one.events)
    check_sums(request, trace)
    return trace


def check_sums(request, trace):
    root = trace.spans[0]
    layers, after = Counter(), 0
    sections = {root.span_id: "window"}
    for one in trace.spans:
        section = sections.get(one.parent_id, "window")
        for word, name in (("after", "after_response"), ("beside", "overlapped")):
            if one.parent_id == root.span_id and f"tracer.{name}" in one.attributes:
                section = word
        sections[one.span_id] = section
        own = one.attributes["tracer.self_ns"]
        parts = {
            name.split(".")[2]: ns
            for name, ns in one.attributes.items()
            if name.startswith("tracer.self.")
        }
        assert sum(parts.values()) == own or not parts
        if section == "after":
            after += own
        elif section == "window":
            layers.update(parts or {one.attributes.get("tracer.layer"): own})
    del layers[None]
    assert +layers == +Counter(request.layers)
    assert after == request.after_response_ns
    for layer, ns in request.layers.items():
        assert root.attributes[f"tracer.layer.{layer}.duration_ns"] == ns


@pytest.mark.parametrize("level", LEVELS)
@thorough
@given(program=PROGRAMS, after=PROGRAMS, busy=BUSY)
def test_spans_of_a_wellformed_request_sum_to_its_layers_and_lie_within_each_other(
    level, program, after, busy
):
    timeline = SymbolicTimeline()
    timeline.tell(program, after)
    request = attribute(timelines.head(finish_ns=timeline.now + 5), timeline.marks, WORKER, busy)
    trace = check_trace(request, level)
    assert trace == trace_of(request, level)
    if level != "layers":
        hops = [one for one in trace.spans if "tracer.handoff.site" in one.attributes]
        assert len(hops) >= sum(any(hop.phases.values()) for hop in request.hops)


@pytest.mark.parametrize("level", LEVELS)
@thorough
@given(head=HEADS, marks=GARBAGE, busy=BUSY)
def test_spans_of_garbage_sum_to_its_layers_too(level, head, marks, busy):
    request = attribute(head, marks, WORKER, busy)
    if int(request.request_id, 16):
        check_trace(request, level)


def tree(trace):
    """The names of a trace's spans, nested."""
    below = {}
    for one in trace.spans[1:]:
        below.setdefault(one.parent_id, []).append(one)

    def named(span):
        inner = [named(one) for one in below.get(span.span_id, ())]
        return (span.name, inner) if inner else span.name

    return named(trace.spans[0])


def onion(layers, core):
    """Lay middlewares around what `core` lays."""
    building = Building().spend(9, "server", "parse").spend(5, "handler")

    def link(rest):
        if not rest:
            core(building)
            return
        building.spend(1, "middleware", rest[0])
        building.spend(2, "middleware", rest[0], phase="process_request")
        building.spend(1, "middleware", rest[0])
        link(rest[1:])
        building.spend(1, "middleware", rest[0])

    link(layers)
    building.spend(4, "handler").spend(3, "server", "send")
    return building.done()


def whole(chain):
    return "GET test/", ["server: parse", ("Django handler", [chain]), "server: send"]


def view_with_query(building):
    building.spend(3, "handler", "get_response")
    building.spend(1, "handler", "resolve_request")
    building.spend(1, "handler", "get_response")
    building.spend(1, "middleware", C, phase="process_view")
    building.spend(1, "handler", "get_response")
    building.spend(4, "view", "shop.detail").spend(1, "view", "shop.detail", part="permission")
    building.spend(4, "view", "shop.detail", part="handler")
    building.spend(4, "view", "shop.detail", part="query")
    building.spend(4, "view", "shop.detail", part="handler")
    building.spend(2, "handler", "get_response")


def test_middlewares_are_nested_as_an_onion_with_their_phases():
    trace = check_trace(onion([A, B, C], view_with_query), "handoffs")
    core = (
        "handler: get_response",
        [
            "handler: resolve_request",
            "CsrfViewMiddleware.process_view",
            ("view: shop.detail", ["DRF permission", ("DRF handler", ["query"])]),
        ],
    )
    chain = ("CsrfViewMiddleware", ["CsrfViewMiddleware.process_request", core])
    chain = ("SessionMiddleware", ["SessionMiddleware.process_request", chain])
    chain = ("SecurityMiddleware", ["SecurityMiddleware.process_request", chain])
    assert tree(trace) == (
        "GET test/",
        ["server: parse", ("Django handler", [chain]), "server: send"],
    )


def test_a_garbage_collection_lies_in_what_it_interrupted():
    def view(building):
        building.spend(3, "view", "shop.detail").spend(3, "view", "shop.detail", part="query")
        building.spend(3, "view", "shop.detail", part="gc")
        building.spend(3, "view", "shop.detail", part="query").spend(3, "view", "shop.detail")

    def names(level):
        found = check_trace(onion([], view), level).spans
        return [one.name for one in found if one.name in {"query", "gc"}]

    sending = Building().spend(9, "server", "send").spend(5, "server", "send", part="gc")
    trace = check_trace(sending.spend(9, "server", "send").done(), "handoffs")
    assert tree(trace) == ("GET test/", ["server: send"])
    assert names("handoffs") == ["query"]
    assert names("all") == ["query", "gc"]


def test_a_middleware_that_answers_by_itself_has_nothing_within():
    trace = check_trace(onion([A, B], lambda building: None), "layers")
    chain = ("SecurityMiddleware", ["SessionMiddleware"])
    assert tree(trace) == (
        "GET test/",
        ["server: parse", ("Django handler", [chain]), "server: send"],
    )


def test_a_handoff_is_named_by_its_cause_and_holds_what_ran_and_its_phases():
    trace = check_trace(asgi_request(client=False), "handoffs")
    found = next(
        one for one in trace.spans if one.name.endswith("CsrfViewMiddleware.process_request")
    )
    hop = next(one for one in trace.spans if one.parent_id == found.span_id)
    assert hop.name == "hand-off: CsrfViewMiddleware.process_request"
    assert [name for name, _ in hop.events] == [
        *("prepare", "submit", "wake", "notify", "return", "resume")
    ]
    assert hop.attributes["tracer.handoff.wake_ns"] == 30_000
    assert hop.attributes["tracer.handoff.thread_started"] is False


def test_every_level_has_the_same_views_and_middlewares_under_the_same_ids():
    request = onion([A, B, C], view_with_query)
    traces = [check_trace(request, level) for level in LEVELS]
    coarse = {(one.span_id, one.name) for one in traces[0].spans}
    for trace in traces[1:]:
        assert coarse <= {(one.span_id, one.name) for one in trace.spans}
    assert [len(trace.spans) for trace in traces] == sorted(len(trace.spans) for trace in traces)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0"), (1, "1-2"), (3, "3-5"), (17, "11-20"), (101, "101+")]
)
def test_a_search_by_equality_finds_a_range_of_handoffs(count, said):
    assert bucket(count) == said
