"""Flat segments to a tree, by their order alone."""

from __future__ import annotations

from tracer.analysis.attribution.request import Handoff, Segment
from tracer.analysis.spans.tree import build_span_tree

OUTER, INNER, VIEW = "site.Outer", "site.Inner", "site.views.detail"


def segments_of(*owners):
    """Lay segments of 10 each, one after the other: `(layer, detail, part, phase)`."""
    return [Segment(10 * n, 10 * n + 10, *owner) for n, owner in enumerate(owners)]


def shown(branch):
    """Return a branch as what it is, its own segments, and what lies within."""
    within = [shown(one) for one in branch.within]
    return (branch.kind, branch.owner.detail, branch.own, *within)


def handoff(start_ns, end_ns, site="site"):
    phases = {"run": end_ns - start_ns}
    return Handoff(site, "to_thread", start_ns, phases, 0, False, False, False, None)


def test_a_middleware_seen_again_closes_what_was_opened_after_it():
    tree = build_span_tree(
        segments_of(
            ("middleware", OUTER), ("middleware", INNER), ("view", VIEW), ("middleware", INNER),
            ("middleware", OUTER),
        ),
        [],
    )  # fmt: skip
    view = ("view", VIEW, [2])
    inner = ("middleware", INNER, [1, 3], view)
    assert shown(tree) == ("whole", None, [], ("middleware", OUTER, [0, 4], inner))


def test_what_is_nobodys_within_the_application_lies_in_what_goes_on_after_it():
    tree = build_span_tree(
        segments_of(
            ("server", None), ("view", VIEW), ("event_loop", "turn"), ("view", VIEW),
            ("server", None),
        ),
        [],
    )  # fmt: skip
    view = ("view", VIEW, [1, 3], ("loose", "turn", [2]))
    assert shown(tree) == (
        "whole", None, [], ("loose", None, [0]), view, ("loose", None, [4]),
    )  # fmt: skip


def test_a_handoff_says_itself_when_it_begins_and_ends():
    tree = build_span_tree(
        segments_of(
            ("middleware", OUTER), ("handoff", "site", None, "wake"), ("view", VIEW),
            ("handoff", "site", None, "return"), ("middleware", OUTER),
        ),
        [handoff(10, 40)],
    )  # fmt: skip
    hop = (
        "hop", "site", [],
        ("hop phase", "site", [1]), ("view", VIEW, [2]), ("hop phase", "site", [3]),
    )  # fmt: skip
    assert shown(tree) == ("whole", None, [], ("middleware", OUTER, [0, 4], hop))


def test_who_had_the_loop_lies_in_the_phase_that_waited_for_it():
    tree = build_span_tree(
        segments_of(
            ("handoff", "site", None, "return"), ("event_loop", "orders.views.slow"),
            ("handoff", "site", None, "return"),
        ),
        [handoff(0, 30)],
    )  # fmt: skip
    phase = ("hop phase", "site", [0, 2], ("loose", "orders.views.slow", [1]))
    assert shown(tree) == ("whole", None, [], ("hop", "site", [], phase))


def test_a_query_lies_in_the_view_that_asked():
    tree = build_span_tree(segments_of(("view", VIEW), ("view", VIEW, "query"), ("view", VIEW)), [])
    assert shown(tree) == (
        "whole", None, [], ("view", VIEW, [0, 2], ("part", VIEW, [1])),
    )  # fmt: skip
