from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flame.pictures import LOOP, POOL, US, compared, many, one, request, stacks
from tracer.analysis.flame.flame_graph import difference, of_request
from tracer.analysis.flame.pieces import is_thin, pieces_of
from tracer.analysis.flame.tree import add_up, events, spans, tree
from tracer.model.stackframes import SAMPLED, Stretch


def names(piece):
    return [step.name for step in piece.path]


def by_names(pieces):
    found = {}
    for piece in pieces:
        key = "; ".join(names(piece))
        found[key] = found.get(key, 0) + piece.duration_ns // US
    return found


def test_below_an_owner_are_the_functions_without_the_plumbing_above():
    found = by_names(pieces_of(request().segments, stacks()))
    assert found["view; shop.views.detail; shop.views:detail"] == 150
    assert found["view; shop.views.detail; shop.views:detail; time:sleep"] == 250
    (price,) = [key for key in found if "shop.prices:price" in key and "waiting" not in key]
    assert found[price] == 200
    assert "asgiref" not in price
    assert found["server; parse"] == 50
    assert found["handler"] == 50


def test_a_wait_says_what_for():
    found = by_names(pieces_of(request().segments, stacks()))
    assert found["handoff; shop.views:detail → shop.prices.price; wake; waiting in wake"] == 40
    (timer,) = [key for key in found if key.endswith("waiting for a timer")]
    assert found[timer] == 100


def test_each_piece_is_on_the_thread_of_its_segment():
    threads = {piece.thread for piece in pieces_of(request().segments, stacks())}
    assert threads == {LOOP, POOL, None}


def test_without_stacks_there_are_the_owners():
    asked = request()
    found = pieces_of(asked.segments, None)
    assert add_up([found]).total_ns == asked.duration_ns
    assert all(step.kind != "function" for piece in found for step in piece.path)


stretch = st.tuples(
    st.integers(0, 1_500), st.integers(1, 400), st.sampled_from([LOOP, POOL]), st.integers(0, 3)
)


@given(st.lists(stretch, max_size=30), st.sampled_from([0, 1]))
def test_whatever_the_stacks_say_pieces_tile_and_layers_are_the_breakdown(several, source):
    asked = request()
    ends, kept = {}, []
    for start, length, thread, node in sorted(several):
        begin = max(900 * US + start * US, ends.get(thread, 0))
        ends[thread] = begin + length * US
        kept.append(Stretch(begin, ends[thread], thread, node))
    found = pieces_of(
        asked.segments, dataclasses.replace(stacks(source), stretches=tuple(sorted(kept)))
    )
    assert (found[0].start_ns, found[-1].end_ns) == (asked.start_ns, asked.end_ns)
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(found))
    layers = {}
    for path, ns in add_up([found]).by_path.items():
        layers[path[0].name] = layers.get(path[0].name, 0) + ns
    assert layers == asked.layers


def test_a_sample_says_nothing_of_a_segment_that_was_over():
    late = dataclasses.replace(
        stacks(SAMPLED), stretches=(Stretch(1_000 * US, 1_300 * US, LOOP, 2),)
    )
    found = pieces_of(request().segments, late)
    assert names(found[0]) == ["server", "parse"]
    assert all(step.kind != "function" for step in found[1].path)


def test_a_long_stretch_without_a_call_is_said_to_be_one():
    found = pieces_of(request().segments, stacks(SAMPLED, interval_ns=5 * US))
    gaps = [piece for piece in found if piece.path[-1].kind == "gap"]
    assert {names(piece)[-2] for piece in gaps} >= {"shop.views:detail"}
    assert all("time:sleep" not in names(piece) for piece in gaps), "a C function is a call"


def test_a_request_of_few_intervals_is_thin():
    assert is_thin(request().duration_ns, stacks(SAMPLED, interval_ns=500 * US))
    assert not is_thin(request().duration_ns, stacks(SAMPLED, interval_ns=1 * US))
    assert not is_thin(request().duration_ns, stacks())


def test_a_thin_request_says_so():
    picture = of_request(request(), stacks(SAMPLED, interval_ns=500 * US))
    assert any("only 2 sampling intervals" in note for note in picture.notes)


def test_many_are_added_up():
    alone, together = one(), many(3)
    assert together.totals.requests == 3
    assert together.totals.total_ns == 3 * alone.totals.total_ns
    assert tree(together.totals).a_ns == pytest.approx(alone.totals.total_ns)


def test_a_difference_has_both():
    picture = compared()
    root = tree(picture.totals, picture.against)
    view = next(branch for step, branch in root.below.items() if step.name == "view")
    assert view.a_ns == view.b_ns == 700 * US
    detail = next(iter(view.below.values()))
    (price,) = [b for step, b in detail.below.items() if "price" in step.name]
    assert (price.a_ns, price.b_ns) == (300 * US, 0), "it ran, then it was waited in"


def test_levels_open_and_close_in_order():
    open_steps = []
    last = 0
    for kind, instant, step in events(one().pieces):
        assert instant >= last
        last = instant
        if kind == "O":
            open_steps.append(step)
        else:
            assert open_steps.pop() == step
    assert open_steps == []


def test_a_level_that_goes_on_is_one_span():
    detail = [span for span in spans(one().pieces) if span.step.name == "shop.views:detail"]
    assert detail[0].end_ns - detail[0].start_ns == 400 * US


def test_a_difference_of_unlike_sources_says_so():
    exact = of_request(request(), stacks())
    sampled = of_request(request(), stacks(SAMPLED, interval_ns=1 * US))
    assert "different ways" in difference(exact, sampled, ("a", "b")).notes[0]
    assert not any("different ways" in note for note in compared().notes)
