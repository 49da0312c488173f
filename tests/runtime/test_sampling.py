"""Which requests are recorded and what each stands for, decided by one worker's sampler."""

from __future__ import annotations

import itertools
import math
import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.model import frames
from tracer.model.traceparent import parse_probability, tracestate_of
from tracer.runtime import sampling
from tracer.runtime.sampling import EVERY, Rate, Sampler
from tracer.settings.sampling import Policy

SPACE = 1 << 56
HALF = SPACE // 2
ROUTE = 7


class Names(dict):
    """Gives out numbers as a recorder does."""

    def __missing__(self, text):
        self[text] = number = {"test/": ROUTE, "error": 5}.get(text, 100 + len(self))
        return number


def sampler(**fields):
    """A sampler that trusts callers, where nothing else is said."""
    return Sampler(Policy(**{"remote_limit": None, **fields}), Names().__getitem__)


def headers(randomness, flags="00", state=None):
    """The head of a request whose trace id ends in 56 bits of one's choice."""
    found = {"traceparent": f"00-{'ab' * 9}{randomness:014x}-{'b' * 16}-{flags}"}
    return lambda: found if state is None else {**found, "tracestate": state}


def finished(verdict, *, duration_ns=1_000, route=0, status=200, outcome=0):
    return SimpleNamespace(
        verdict=verdict,
        start_ns=10,
        last_ns=10 + duration_ns,
        route=route,
        status=status,
        outcome=outcome,
        kept=frames.RATE,
        weight=1.0,
    )


def recorded(one, path="/", read_headers=None, **fields):
    """Why a request is recorded and its weight, None if it isn't."""
    verdict = one.judge(path, read_headers)
    if verdict is None:
        return None
    timeline = finished(verdict, **fields)
    if not one.settle(timeline, 99):
        return None
    return frames.KEPT[timeline.kept], timeline.weight


def counted(one):
    return {name: n for name, n in zip(frames.COUNTERS, one.counts, strict=True) if n}


def test_every_request_is_recorded_without_its_head_being_read():
    every = sampler()
    assert every.judge("/", lambda: 1 / 0) is EVERY
    assert recorded(every) == ("rate", 1.0)
    assert counted(every) == {"seen": 2, "sampled": 1}


def test_no_request_is_recorded_and_each_is_counted():
    none = sampler(rate=0.0)
    assert none.never
    assert [recorded(none, "/", lambda: 1 / 0) for _ in range(5)] == [None] * 5
    assert counted(none) == {"seen": 5}


def test_a_rate_is_a_threshold_on_the_last_56_bits_of_the_trace_id():
    quarter = sampler(rate=0.25)
    threshold = SPACE - SPACE // 4
    assert recorded(quarter, "/", headers(threshold)) == ("rate", 4.0)
    assert recorded(quarter, "/", headers(SPACE - 1, "01")) == ("rate", 4.0)
    assert recorded(quarter, "/", headers(threshold - 1)) is None
    assert recorded(quarter, "/", headers(threshold - 1, "01")) is None, "a rate ignores the flag"
    assert counted(quarter) == {"seen": 4, "sampled": 2}


def test_explicit_randomness_stands_in_for_the_trace_ids():
    half = sampler(rate=0.5)
    assert recorded(half, "/", headers(0, state=f"x=1,ot=th:0;rv:{HALF:014x}")) == ("rate", 2.0)
    assert recorded(half, "/", headers(SPACE - 1, state="ot=rv:00000000000001")) is None


@given(st.integers(0, SPACE - 1), st.floats(0, 1), st.floats(0, 1))
def test_whoever_records_less_records_a_part_of_what_the_others_do(bits, one, other):
    low, high = sorted((one, other))
    if recorded(sampler(rate=low), "/", headers(bits)):
        assert recorded(sampler(rate=high), "/", headers(bits))


def test_a_request_that_begins_here_keeps_the_trace_id_that_decided():
    half = sampler(rate=0.5)
    verdicts = [verdict for _ in range(200) if (verdict := half.judge("/", dict))]
    assert {verdict.trace_id % SPACE >= HALF for verdict in verdicts} == {True}
    assert all(verdict.trace_id >> 64 for verdict in verdicts)
    assert all(verdict.parent_span_id is None for verdict in verdicts)


def test_a_callers_trace_and_span_are_kept():
    verdict = sampler(rate=0.5).judge("/", headers(SPACE - 1))
    assert f"{verdict.trace_id:032x}" == "ab" * 9 + "f" * 14
    assert f"{verdict.parent_span_id:016x}" == "b" * 16


def test_the_longest_prefix_of_a_path_has_its_own_rate():
    one = sampler(rate=0.5, paths=(("/api/", 1.0), ("/api/health", 0.0)))
    high, low = headers(SPACE - 1), headers(0)
    assert recorded(one, "/", high) == ("rate", 2.0)
    assert recorded(one, "/", low) is None
    assert recorded(one, "/api/x", low) == ("rate", 1.0)
    assert recorded(one, "/api/health", lambda: 1 / 0) is None, "not even its head is read"
    assert recorded(one, None, high) == ("rate", 2.0)


def test_a_route_has_its_own_rate_decided_at_the_end():
    one = sampler(rate=0.5, routes=(("test/", 0.25), ("other/", 0.75)))
    low, middle, high = headers(SPACE // 8), headers(HALF), headers(SPACE - 1)
    assert one.judge("/", low) is None
    assert recorded(one, "/", middle) == ("rate", 2.0)
    assert recorded(one, "/", middle, route=ROUTE) is None
    assert recorded(one, "/", high, route=ROUTE) == ("rate", 4.0)


def test_a_route_can_be_recorded_more_often_than_the_rest_but_not_where_its_path_is_left_out():
    one = sampler(rate=0.0, paths=(("/health", 0.0),), routes=(("test/", 1.0),))
    assert recorded(one, "/test/", headers(0), route=ROUTE) == ("rate", 1.0)
    assert recorded(one, "/other/", headers(SPACE - 1)) is None
    assert recorded(one, "/health", headers(SPACE - 1), route=ROUTE) is None


def test_slow_and_failed_requests_are_recorded_whatever_their_rate():
    one = sampler(rate=0.0, keep_slower_ns=100, keep_errors=True, paths=(("/health", 0.0),))
    assert recorded(one, duration_ns=100) is None
    assert recorded(one, duration_ns=101) == ("slow", 1.0)
    assert recorded(one, "/health", duration_ns=101) == ("slow", 1.0)
    assert recorded(one, duration_ns=1, status=500) == ("error", 1.0)
    assert recorded(one, duration_ns=1, status=404) is None
    assert recorded(one, duration_ns=1, outcome=5) == ("error", 1.0)
    assert counted(one) == {"seen": 6, "kept_slow": 2, "kept_error": 2}


def test_a_slow_request_that_its_rate_would_keep_stands_for_itself_alone():
    one = sampler(rate=0.5, keep_slower_ns=100)
    assert recorded(one, "/", headers(SPACE - 1), duration_ns=101) == ("slow", 1.0)
    assert recorded(one, "/", headers(SPACE - 1), duration_ns=99) == ("rate", 2.0)


def test_a_parent_decides_where_it_is_asked():
    one = sampler(rate=0.0, parent_based=True)
    assert recorded(one, "/", headers(0, "00")) is None
    assert recorded(one, "/", dict) is None
    kept, weight = recorded(one, "/", headers(HALF, "01"))
    assert kept == "parent"
    assert math.isnan(weight)
    assert recorded(one, "/", headers(HALF, "01", "ot=th:8")) == ("parent", 2.0)
    assert recorded(one, "/", headers(HALF, "03", "a=b, ot=th:0")) == ("parent", 1.0)
    assert math.isnan(recorded(one, "/", headers(HALF - 1, "01", "ot=th:8"))[1]), "not so"
    assert recorded(sampler(parent_based=True), "/", headers(SPACE - 1, "00")) is None
    assert recorded(sampler(parent_based=True), "/", dict) == ("rate", 1.0)


def test_a_request_its_caller_dropped_is_recorded_when_it_is_slow():
    one = sampler(parent_based=True, keep_slower_ns=100)
    assert recorded(one, "/", headers(SPACE - 1, "00"), duration_ns=50) is None
    assert recorded(one, "/", headers(SPACE - 1, "00"), duration_ns=101) == ("slow", 1.0)


@pytest.fixture
def clock(monkeypatch):
    """Nanoseconds that pass only when told to."""
    clock = SimpleNamespace(ns=10**15)
    monkeypatch.setattr(sampling, "now", lambda: clock.ns)
    return clock


def test_flags_from_outside_count_only_so_many_times_a_second(clock):
    one = sampler(rate=0.0, parent_based=True, remote_limit=10)

    def burst():
        return sum(recorded(one, "/", headers(0, "01")) is not None for _ in range(100))

    assert burst() == 10
    assert burst() == 0
    clock.ns += 300_000_000
    assert burst() == 3
    clock.ns += 3_600_000_000_000
    assert burst() == 10, "what was not used up for an hour is no hour's worth"
    assert counted(one) == {"seen": 400, "sampled": 23, "remote_capped": 377}


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (1, 1), (None, 100)])
def test_the_limit_of_flags_can_be_set_and_lifted(clock, limit, kept):
    one = sampler(rate=0.0, parent_based=True, remote_limit=limit)
    found = [recorded(one, "/", headers(0, "01")) for _ in range(100)]
    assert sum(one is not None for one in found) == kept


def test_beyond_the_limit_the_rate_decides_whatever_the_caller_says():
    one = sampler(rate=0.25, parent_based=True, remote_limit=0)
    for state in (None, "ot=th:e", "ot=rv:ffffffffffffff"):
        found = [recorded(one, "/", headers(SPACE - 1, "01", state)) for _ in range(1_000)]
        kept = [each for each in found if each is not None]
        assert set(kept) == {("rate", 4.0)}
        assert 150 < len(kept) < 350


@pytest.mark.parametrize("bits", [SPACE - 1, 0], ids=["all ones", "all zeros"])
@pytest.mark.parametrize("state", [None, "ot=rv:ffffffffffffff", "ot=rv:00000000000000"])
def test_a_caller_nobody_trusts_has_no_say_in_what_a_rate_keeps(bits, state):
    one = sampler(rate=0.1, remote_limit=10)
    found = [recorded(one, "/", headers(bits, "01", state)) for _ in range(2_000)]
    assert 120 < sum(each is not None for each in found) < 280


def test_what_a_caller_nobody_trusts_says_of_its_rate_is_no_weight():
    one = sampler(rate=0.0, parent_based=True, remote_limit=10)
    kept, weight = recorded(one, "/", headers(SPACE - 1, "01", "ot=th:ff"))
    assert kept == "parent"
    assert math.isnan(weight)


def test_a_fork_counts_from_nothing():
    one = sampler(rate=0.0)
    shared = one.counts
    recorded(one)
    one.after_fork()
    assert one.counts is shared
    assert counted(one) == {}


POLICIES = {
    "rate": {"rate": 0.2},
    "paths": {"rate": 0.1, "paths": (("/a", 0.5), ("/b", 1.0))},
    "routes": {"rate": 0.3, "routes": (("test/", 0.05),)},
    "slow and failed": {"rate": 0.1, "keep_slower_ns": 900, "keep_errors": True},
    "all": {
        "rate": 0.1,
        "paths": (("/a", 0.5),),
        "routes": (("test/", 0.6),),
        "keep_slower_ns": 900,
    },
}


@pytest.mark.parametrize("name", POLICIES)
def test_weights_add_up_to_the_requests_there_were(name):
    chance, one = random.Random(4), sampler(**POLICIES[name])
    total, squares, count = 0.0, 0.0, 20_000
    for path, route in itertools.islice(itertools.cycle(itertools.product("abc", (0, 7))), count):
        found = recorded(
            one,
            f"/{path}",
            headers(chance.getrandbits(56)),
            duration_ns=chance.randrange(1_000),
            route=route,
            status=chance.choice((200, 200, 500)),
        )
        if found is not None:
            total += found[1]
            squares += found[1] * (found[1] - 1)
    assert abs(total - count) < 5 * math.sqrt(squares)
    counts = counted(one)
    assert counts["seen"] == count
    assert 0 < counts["sampled"] < count


@pytest.mark.parametrize(
    ("state", "known"),
    [
        ("ot=th:8", (HALF, None)),
        ("ot=th:0", (0, None)),
        ("ot=th:fffffffffffffe;rv:00000000000001", (SPACE - 2, 1)),
        ("vendor=x:1 ,\tot=p:8;th:c;foo:bar ", (HALF + HALF // 2, None)),
        ("ot=th:", (None, None)),
        ("ot=th:8000000000000000", (None, None)),
        ("ot=th:-8", (None, None)),
        ("ot=th:0x8", (None, None)),
        ("ot=th:٣", (None, None)),
        ("ot=rv:1", (None, None)),
        ("ot=rv:0000000000000g", (None, None)),
        ("at=th:8,,=,ot", (None, None)),
        ("\ud800", (None, None)),
        ("ot=th:8," + "x" * 10_000, (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_tracestate_tells_threshold_and_randomness_or_nothing(state, known):
    assert parse_probability(state) == known


@given(st.floats(0.000_001, 1), st.integers(0, 2**128 - 1))
def test_a_tracestate_says_the_threshold_unless_the_trace_id_contradicts_it(share, trace_id):
    threshold, weight = Rate.of(share)
    said, _ = parse_probability(tracestate_of(weight, trace_id))
    if said is None:
        assert trace_id % 2**56 < threshold + 64
    else:
        # A weight has 53 bits, a threshold 56.
        assert abs(said - threshold) <= 64
        assert trace_id % 2**56 >= said


@pytest.mark.parametrize("weight", [None, float("nan"), float("inf"), 0.5, -1.0])
def test_a_weight_that_nobody_knows_makes_no_tracestate(weight):
    assert tracestate_of(weight, 2**128 - 1) == ""
