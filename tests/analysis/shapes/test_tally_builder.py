from __future__ import annotations

from time import process_time_ns

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import timelines
from tests.support.strategies import BUSY, GARBAGE, PROGRAMS
from tests.support.timelines import LOOP, START_NS, WORKER, SymbolicTimeline, check_tiling
from tracer.analysis.attribution.attribute import attribute
from tracer.analysis.shapes.batch import Batch
from tracer.analysis.shapes.tally_builder import TallyBuilder
from tracer.analysis.statistics.spread import Buckets
from tracer.analysis.statistics.tally import HandoffTally, Tallies
from tracer.model import timeline as t
from tracer.model.frames import Busy
from tracer.model.layers import LAYERS

thorough = settings(max_examples=40, deadline=None)


def timeline_of(program, after=(), sequence=1):
    timeline = SymbolicTimeline()
    timeline.tell(program, after)
    return timelines.head(finish_ns=timeline.now + 5, sequence=sequence), timeline.marks


def added(several, busy=(), builder=None):
    """Fold timelines as one batch; give the builder and the rows."""
    builder = builder or TallyBuilder(Tallies())
    marks = np.array([mark for _, one in several for mark in one], np.int64).reshape(-1, 4)
    bounds = np.cumsum([0, *(len(one) for _, one in several)])
    entries = np.array([plain(one) for one in busy], np.int64).reshape(-1, 5)
    heads = [head for head, _ in several]
    batch = Batch(heads, [1] * len(several), marks, bounds, {1: entries})
    return builder, builder.add(batch, {1: WORKER})


def plain(one):
    return [one.start_ns, one.end_ns, one.thread, one.sequence, one.name]


def seen_of(spread):
    return spread.count, spread.total_ns, list(spread.pairs())


def contents(tallies):
    """What tallies hold, to be compared."""
    found = {}
    for key, tally in tallies.items():
        for name in type(tally).__slots__[1:]:
            value = getattr(tally, name)
            if isinstance(value, Buckets):
                value = seen_of(value)
            elif isinstance(value, list):
                value = [seen_of(one) for one in value]
            elif name == "after":
                value = {owner: ns for owner, ns in value.items() if ns}
            elif value and isinstance(
                next(iter(value.values()), 0) if isinstance(value, dict) else 0, HandoffTally
            ):
                value = {
                    site: (
                        one.count,
                        one.started,
                        one.queue_ns,
                        seen_of(one.cost),
                        seen_of(one.wake),
                    )
                    for site, one in value.items()
                }
            found[key, name] = value
    return found


def check(several, busy=()):
    """Whatever is added says what attribution says of each, added up."""
    busy = sorted(
        (one for one in busy if 0 <= one.start_ns < one.end_ns < START_NS * 10**6),
        key=lambda one: one.end_ns,
    )
    builder, rows = added(several, busy)
    expected = Tallies()
    for (head, marks), row in zip(several, rows, strict=True):
        request = attribute(head, marks, WORKER, [Busy(*plain(one)) for one in busy])
        expected.add(request)
        assert row.layers == tuple(request.layers[layer] for layer in LAYERS)
        assert (row.duration_ns, row.after_ns) == (request.duration_ns, request.after_response_ns)
    assert contents(builder.tallies) == contents(expected)
    return builder


@thorough
@given(st.lists(st.tuples(PROGRAMS, PROGRAMS), min_size=1, max_size=3))
def test_a_batch_comes_to_what_its_requests_come_to(programs):
    builder = check([timeline_of(*program) for program in programs])
    assert builder.planned + builder.alone == len(programs)


@thorough
@given(PROGRAMS, st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**5)), max_size=8))
def test_what_others_ran_meanwhile_is_taken_from_the_same_stretches(program, stretches):
    """One thread runs one thing at a time: its stretches follow each other."""
    busy, cursor = [], START_NS
    for gap, length in stretches:
        busy.append(Busy(cursor + gap, cursor + gap + length, LOOP, len(busy) % 3, 3))
        cursor += gap + length
    check([timeline_of(program)], busy)


@thorough
@given(PROGRAMS, GARBAGE, st.randoms(use_true_random=False))
def test_garbage_between_the_marks_comes_to_the_same(program, garbage, places):
    head, marks = timeline_of(program)
    for mark in garbage:
        marks.insert(places.randrange(len(marks) + 1), mark)
    check([(head, marks)])


@thorough
@given(PROGRAMS, BUSY, st.floats(0, 1), st.floats(0, 1))
def test_a_torn_timeline_comes_to_the_same(program, busy, first, last):
    head, marks = timeline_of(program)
    check([(head, marks[int(len(marks) * first / 2) : int(len(marks) * (0.5 + last / 2))])])


def test_alike_requests_share_a_plan_and_are_told_apart_by_their_instants():
    hop = ("hop", (3, 4, 5, 6), [("work", 7)], False, None)
    builder = TallyBuilder(Tallies())
    for scale in (1, 10, 100):
        _, (row,) = added([timeline_of([("work", scale), hop])], builder=builder)
        assert row.duration_ns == scale + 26
    assert (builder.planned, builder.alone, len(builder._planner.kept)) == (3, 0, 1)


def test_a_request_stands_for_as_many_as_its_weight_says():
    several = [timeline_of([("work", 5)]) for _ in range(2)]
    several.append((timelines.head(weight=4.0, finish_ns=START_NS + 10), several[0][1]))
    builder, _ = added(several)
    assert {key.weight: one.requests for key, one in builder.tallies.items()} == {1.0: 2, 4.0: 1}


def test_a_weight_that_is_none_stands_for_the_request_alone():
    for weight in (float("nan"), float("inf"), -1.0, 0.0):
        head, marks = timeline_of([("work", 5)])
        head = timelines.head(weight=weight, finish_ns=head.finish_ns)
        builder, (row,) = added([(head, marks)])
        assert row.weight == 1.0
        assert [key.weight for key in builder.tallies] == [1.0]


def test_a_timeline_of_ten_thousand_queries_is_exact_and_takes_no_longer_than_it_is_long():
    queries = [("query", 10) for _ in range(10_000)]
    hops = [("hop", (1, 1, 1, 1), [("query", 10)], False, None) for _ in range(2_500)]
    for program in (queries, hops, [("scope", "view", queries)]):
        head, marks = timeline_of([*program, ("work", 5)])
        assert len(marks) > 20_000
        began = process_time_ns()
        _, (row,) = added([(head, marks)])
        assert process_time_ns() - began < 10_000_000_000
        assert sum(row.layers) == row.duration_ns
        check_tiling(attribute(head, marks, WORKER, ()))


def test_a_spread_is_off_by_no_more_than_its_buckets_and_its_sum_by_nothing():
    values = [3, 999, 12_345, 7_654_321, 10**11]
    for bits in (5, 7):
        spread = Buckets(bits)
        for value in values:
            spread.add(value)
        assert spread.total_ns == sum(values)
        for (found, times), value in zip(spread.pairs(), values, strict=True):
            assert times == 1
            assert abs(found - value) <= value / 2 ** (bits + 1) + 1
        assert list(Buckets.from_json(spread.to_json()).pairs()) == list(spread.pairs())


def test_marks_of_a_code_that_is_not_known_leave_a_timeline_without_a_shape():
    head, marks = timeline_of([("work", 5)])
    builder, _ = added([(head, [*marks, (63, START_NS + 3, LOOP, 0)])])
    assert (builder.planned, builder.alone) == (0, 1)
    assert t.ROOT == 0
