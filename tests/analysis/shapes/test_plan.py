"""What attribution says of a shape: segments between places, and where others may have run."""

from __future__ import annotations

from tests.analysis.shapes.test_shape import marked, shapes_of
from tests.support.timelines import WORKER
from tracer.analysis.attribution.attribute import RequestMarks
from tracer.analysis.shapes.intern_table import InternTable
from tracer.analysis.shapes.plan import attribute_shape, make_plan
from tracer.model.layers import HOP_PHASES

HOP = ("hop", (3, 4, 5, 6), [("work", 7)], False, None)


def planned(actions):
    """Plan a timeline; give the plan, its names, and each place's instant from the start."""
    found = shapes_of(marked(actions))
    names = InternTable()
    for name in WORKER.names:
        names.texts(name)  # the numbers that the worker has for them
    request = RequestMarks(*found.symbolic(0), "", blocking=False, outcome="complete")
    return make_plan(attribute_shape(request, names), names), names, found.instants.tolist()


def segments_of(plan, names, instants):
    return [
        (instants[low], instants[high], *names.owners.things[owner][::3])
        for low, high, owner in zip(plan.low, plan.high, plan.owner, strict=True)
    ]


def test_segments_lie_between_places_that_have_the_instants_of_the_marks():
    plan, names, instants = planned([("work", 5), HOP])
    assert segments_of(plan, names, instants) == [
        (0, 5, "server", None),
        (5, 8, "handoff", "prepare"),
        (8, 12, "handoff", "submit"),
        (12, 18, "handoff", "wake"),
        (18, 25, "server", None),
        (25, 31, "handoff", "return"),
    ]
    assert plan.runs.tolist() == [True, True, True, False, True, False]
    assert (plan.window, instants[plan.end], instants[plan.finish]) == (6, 31, 31)


def test_a_handoff_has_its_phases_and_where_it_waits_for_the_loop():
    plan, names, instants = planned([("work", 5), HOP])
    ((number, *_),) = [plan.site.tolist()]
    assert names.sites.things[number].direction == "to_thread"
    phases = [
        (HOP_PHASES[cell], instants[low], instants[high])
        for cell, low, high in zip(plan.phase_cell, plan.phase_low, plan.phase_high, strict=True)
    ]
    assert phases == [
        ("prepare", 5, 8),
        ("submit", 8, 12),
        ("wake", 12, 18),
        ("run", 18, 25),
        ("return", 25, 31),
    ]
    segment, handoff = plan.waits.T.tolist()
    assert [instants[place] for place in segment[:2]] == [25, 31]
    assert segment[2:] == [1, 5]  # the loop's thread is the first that made a mark
    assert handoff == [*segment[:3], -1]


def test_a_stretch_that_others_may_have_taken_is_whole():
    plan, names, instants = planned([("wait", 40, 9, False)])
    assert segments_of(plan, names, instants) == [
        (0, 40, "server", None),
        (40, 49, "event_loop", None),
    ]
    assert plan.waits.T.tolist() == [[plan.low[1], plan.high[1], 1, 1]]


def test_counts_are_the_shapes():
    start = ("hop", (1, 1, 1, 1), [("query", 4)], True, None)
    plan, *_ = planned([HOP, start])
    assert plan.counts == (2, 0, 0, 1, 0, 0)
    assert plan.queried
    assert not planned([HOP])[0].queried
