from __future__ import annotations

import pytest

from tracer.settings.flame import BUDGET, FLAME, INTERVAL, SECRET, SOURCE, read_flame_policy


def read(**environ):
    return read_flame_policy({name: text for name, text in environ.items() if text is not None})


def test_nothing_is_asked_for_by_nothing():
    assert read() == (None, [])
    assert read(**{FLAME: "", SOURCE: "exact"}) == (None, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", {"when": "all", "share": 1.0}),
        ("1/1000", {"when": "every", "every": 1000, "share": 0.1}),
        ("slower=500ms", {"when": "slower", "slower_ns": 500_000_000, "share": 0.1}),
        ("header", {"when": "header", "secret": "long enough", "share": 0.1}),
    ],
)
def test_what_is_asked_for(text, expected):
    policy, problems = read(**{FLAME: text, SECRET: "long enough"})
    assert problems == []
    assert {name: getattr(policy, name) for name in expected} == expected


def test_how_it_is_asked_for():
    policy, problems = read(**{FLAME: "all", SOURCE: "exact", INTERVAL: "1ms", BUDGET: "60s"})
    assert problems == []
    assert (policy.source, policy.interval_ns) == ("exact", 1_000_000)
    assert (policy.share, policy.budget_ns) == (1.0, 60_000_000_000)
    assert read(**{FLAME: "1/2", BUDGET: "2.5%"})[0].share == 0.025


@pytest.mark.parametrize("text", ["some", "1/0", "1/-2", "2/3", "slower", "slower=x", "1/1e3"])
def test_a_wish_that_cannot_be_understood_arms_nothing(text):
    policy, problems = read(**{FLAME: text})
    assert policy is None
    (problem,) = problems
    assert problem.variable == FLAME


def test_a_header_without_a_secret_worth_the_name_arms_nothing():
    for secret in (None, "", "short"):
        policy, problems = read(**{FLAME: "header", SECRET: secret})
        assert policy is None
        assert [problem.variable for problem in problems] == [SECRET]


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        (SOURCE, "guessed"),
        (INTERVAL, "1ns"),
        (INTERVAL, "2s"),
        (INTERVAL, "often"),
        (BUDGET, "0%"),
        (BUDGET, "101%"),
        (BUDGET, "x%"),
        (BUDGET, "5"),
    ],
)
def test_a_manner_that_cannot_be_used_is_left_out_and_said(variable, text):
    policy, problems = read(**{FLAME: "all", variable: text})
    assert policy == read(**{FLAME: "all"})[0]
    assert [problem.variable for problem in problems] == [variable]
