"""What an environment asks to be recorded, and what of it can't be used."""

from __future__ import annotations

import pytest

from tracer.settings import sampling as policy
from tracer.settings.sampling import Policy, read_policy

RATIO = {policy.OTEL_SAMPLER: "traceidratio", policy.OTEL_ARGUMENT: "0.25"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Policy()),
        ({policy.SAMPLE: "0.5"}, Policy(rate=0.5)),
        ({policy.SAMPLE: ""}, Policy()),
        (RATIO, Policy(rate=0.25)),
        ({**RATIO, policy.SAMPLE: "0.5"}, Policy(rate=0.5)),
        ({policy.OTEL_SAMPLER: "always_on"}, Policy()),
        ({policy.OTEL_SAMPLER: "always_off"}, Policy(rate=0)),
        ({policy.OTEL_SAMPLER: "traceidratio"}, Policy()),
        ({policy.OTEL_SAMPLER: "always_off", policy.OTEL_ARGUMENT: "nonsense"}, Policy(rate=0)),
        ({policy.OTEL_SAMPLER: " ParentBased_Always_On "}, Policy(parent_based=True)),
        ({policy.OTEL_SAMPLER: "parentbased_always_off"}, Policy(rate=0, parent_based=True)),
        (
            {policy.OTEL_SAMPLER: "parentbased_traceidratio", policy.OTEL_ARGUMENT: "0.1"},
            Policy(rate=0.1, parent_based=True),
        ),
        (
            {policy.OTEL_SAMPLER: "parentbased_always_on", policy.SAMPLE: "0.1"},
            Policy(rate=0.1),
        ),
        ({policy.TRUST: "1"}, Policy(parent_based=True, remote_limit=None)),
        ({policy.LIMIT: "3"}, Policy(parent_based=True, remote_limit=3)),
        ({policy.LIMIT: "0"}, Policy(remote_limit=0)),
        (
            {policy.PATHS: "/health=0 '/my files/=0.5' /a=b=1"},
            Policy(paths=(("/health", 0.0), ("/my files/", 0.5), ("/a=b", 1.0))),
        ),
        (
            {policy.ROUTES: r"test/=0.01 '=1' '^(?P<y>[0-9]{4})/$=0.5'"},
            Policy(routes=(("test/", 0.01), ("", 1.0), ("^(?P<y>[0-9]{4})/$", 0.5))),
        ),
        ({policy.SLOWER: "500ms"}, Policy(keep_slower_ns=500_000_000)),
        ({policy.SLOWER: "1.5s"}, Policy(keep_slower_ns=1_500_000_000)),
        ({policy.SLOWER: "250us"}, Policy(keep_slower_ns=250_000)),
        ({policy.SLOWER: "7ns"}, Policy(keep_slower_ns=7)),
        ({policy.ERRORS: "1", policy.TRUST: "0"}, Policy(keep_errors=True)),
        ({policy.TIMING: "1"}, Policy(server_timing=True)),
    ],
)
def test_an_environment_says_what_is_recorded(environ, expected):
    assert read_policy(environ) == (expected, [])


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        *((policy.SAMPLE, text, "no share") for text in ("2", "-0.1", "nan", "inf", "x", " ")),
        (policy.OTEL_SAMPLER, "jaeger_remote", "no sampler known here (always_on,"),
        (policy.PATHS, "health=0", "no prefix"),
        (policy.PATHS, "=0", "no prefix"),
        (policy.PATHS, "/health", "has no rate"),
        (policy.PATHS, "/health=", "no share"),
        (policy.PATHS, "/health=2", "no share"),
        (policy.PATHS, "/a=0 /a=1", "given twice"),
        (policy.PATHS, "'/a=0", "quotation"),
        (policy.ROUTES, "test/", "has no rate"),
        (policy.ROUTES, "test/=nan", "no share"),
        (policy.LIMIT, "-1", "no whole number"),
        (policy.LIMIT, "1.5", "no whole number"),
        (policy.LIMIT, "٣", "no whole number"),
        (policy.TRUST, "yes", "neither 0 nor 1"),
        (policy.ERRORS, "true", "neither 0 nor 1"),
        (policy.TIMING, "on", "neither 0 nor 1"),
        *(
            (policy.SLOWER, text, "no duration")
            for text in ("500", "ms", "-1s", "nans", "infs", "5 min", "1h", "9e9s", "s5", "5sms")
        ),
    ],
)
def test_what_cannot_be_used_is_named_and_left_out(variable, text, said):
    found, problems = read_policy({variable: text})
    assert found == Policy()
    ((name, reason),) = problems
    assert name == variable
    assert said in reason
    assert "\n" not in reason


def test_a_bad_share_leaves_the_word_to_the_next_in_order():
    found, problems = read_policy({**RATIO, policy.SAMPLE: "2"})
    assert found.rate == 0.25
    assert [problem.variable for problem in problems] == [policy.SAMPLE]


def test_a_bad_argument_of_a_sampler_counts_as_none():
    found, problems = read_policy({**RATIO, policy.OTEL_ARGUMENT: "1.5"})
    assert found.rate == 1.0
    assert [problem.variable for problem in problems] == [policy.OTEL_ARGUMENT]
