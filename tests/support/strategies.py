"""What hypothesis makes timelines of: programs for a `SymbolicTimeline`, and garbage."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.timelines import LOOP, OWNERS, START_NS, head
from tracer.model.frames import Busy

NS = st.integers(1, 50_000)


def _several(actions):
    return st.lists(actions, max_size=3)


def _deeper(actions):
    several = _several(actions)
    nested = st.none() | st.tuples(st.tuples(NS, NS, NS), several)
    return st.one_of(
        st.tuples(st.just("scope"), st.sampled_from(OWNERS), several),
        st.tuples(st.just("child"), several, NS),
        st.tuples(st.just("hop"), st.tuples(NS, NS, NS, NS), several, st.booleans(), nested),
    )


ACTIONS = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(("work", "query", "collect", "eager")), NS),
        st.tuples(st.just("wait"), NS, NS, st.booleans()),
        st.tuples(st.just("stream"), st.lists(NS, max_size=3)),
        st.tuples(st.just("gather"), NS, NS),
        st.just(("start_thread",)),
    ),
    _deeper,
    max_leaves=8,
)
PROGRAMS = _several(ACTIONS)

SMALL = st.integers(0, 8)
ANY = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.integers(START_NS - 20, START_NS + 200)
GARBAGE = st.lists(
    st.tuples(
        st.integers(0, 45),
        INSTANTS | ANY,
        st.integers(1, 3) | ANY,
        SMALL | ANY,
    ),
    max_size=40,
)
BUSY = st.lists(
    st.builds(
        Busy,
        INSTANTS | st.integers(START_NS, START_NS + 500_000) | ANY,
        INSTANTS | st.integers(START_NS, START_NS + 500_000) | ANY,
        st.sampled_from((1, 2, LOOP, LOOP + 1)),
        st.integers(0, 3),
        st.integers(-2, 14),
    ),
    max_size=12,
)
HEADS = st.builds(
    head,
    start_ns=INSTANTS | ANY,
    finish_ns=INSTANTS | ANY,
    sequence=SMALL,
    interface=st.integers(0, 12),
    outcome=st.integers(0, 12),
    view=st.integers(0, 2**32 - 1),
    weight=st.floats(),
    parent_span_id=st.none() | st.integers(0, 2**64 - 1),
)
