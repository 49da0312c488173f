from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.support import builders
from tracer.analysis.documents import compare_document, report_document
from tracer.analysis.statistics.measurement import SeamStatus
from tracer.model.layers import LAYERS
from tracer.reports.palette import COLOURS, MEANINGS, NAMES
from tracer.reports.steps import steps
from tracer.reports.terminal import render_comparison, render_report, render_request


def printed(render, width=100, **options):
    stream = io.StringIO()
    console = Console(file=stream, width=width, **{"no_color": True, **options})
    render(console)
    return stream.getvalue()


def comparison(measurements, **options):
    document = compare_document(measurements)
    return printed(lambda console: render_comparison(document, measurements, console), **options)


def report(measurement, request=None):
    document = report_document(measurement)
    return printed(lambda console: render_report(document, measurement, console, request))


@pytest.fixture(scope="module")
def text():
    return comparison(builders.pair())


def test_the_answer_comes_first_with_figures_and_cause(text):
    answer = " ".join(text.split())
    assert answer.startswith(
        "asgi is 4.0\N{MULTIPLICATION SIGN} slower than wsgi at the median (0.29 → 1.17 ms): "
        "87 % of the difference is hand-offs (8 a request)"
    )
    assert "over 6 and 6 rounds" in text


def test_the_order_is_where_then_why_then_what_now(text):
    places = [
        text.index(words)
        for words in (
            "Where the time goes",
            "Latency",
            "Hand-offs of asgi",
            "The median request of asgi",
            "Findings",
            "The floor is",
        )
    ]
    assert places == sorted(places)


def test_it_fits_a_hundred_columns_and_needs_no_colour(text):
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    for name in ("server", "event loop", "hand-off", "middleware", "view", "network"):
        assert re.search(rf"^{name} ", text, re.MULTILINE), name


@pytest.mark.parametrize("width", [60, 80, 250])
def test_it_fits_other_widths(width):
    found = comparison(builders.pair(rounds=2, each=4), width=width)
    assert max(map(len, found.splitlines())) <= min(width, 100)


def test_names_are_never_read_as_markup():
    first, second = builders.pair(rounds=2, each=3)
    named = builders.measurement(second.rounds, "[red]x[/red]", notes=("[bold]note[/bold]",))
    found = comparison([first, named])
    assert "[red]x[/red] is 4.0" in found
    assert "[bold]note[/bold]" in found


def test_one_to_many_configurations_are_shown():
    wsgi, asgi = builders.pair(rounds=2, each=4)
    many = [wsgi, *(builders.measurement(asgi.rounds, f"asgi-{n}") for n in range(6))]
    found = comparison(many)
    assert found.count("slower than wsgi") == 6
    assert max(map(len, found.splitlines())) <= 100
    assert "takes 0.29 ms at the median" in " ".join(comparison([wsgi]).split())


def test_no_difference_is_said_to_be_none():
    wsgi, _ = builders.pair(rounds=3, each=5)
    found = comparison([wsgi, builders.measurement(wsgi.rounds, "other")])
    assert found.startswith("These rounds show no difference between wsgi")


def test_a_single_round_is_said_to_prove_nothing():
    assert "A single round says nothing about chance" in comparison(builders.pair(rounds=1))


def test_rounds_that_were_never_run_do_not_break_it():
    empty = [builders.measurement([], "wsgi"), builders.measurement([], "asgi")]
    assert "there is nothing to compare" in comparison(empty)
    assert "has no recorded requests" in report(empty[0])


def test_without_our_client_it_says_why_there_is_no_network():
    request = builders.Building().spend(1_000, "view").done()
    measured = builders.measurement([builders.one_round([request], client=False)])
    assert "No network layer" in report(measured)
    assert "No network layer" not in report(builders.pair(rounds=1)[0])


def test_gaps_and_drops_are_named():
    _, asgi = builders.pair(rounds=2, each=3)
    seams = tuple(SeamStatus(f"lib:seam{n}", "absent", "not installed") for n in range(6))
    found = report(builders.measurement(asgi.rounds, "asgi", seams=seams, dropped_timelines=7))
    flat = " ".join(found.split())
    assert "6 seams absent or refused: lib:seam0, lib:seam1" in flat
    assert "and 2 others" in flat
    assert "7 timelines dropped" in flat


def test_tracing_that_moved_the_medians_is_said_before_the_answer():
    wsgi, asgi = builders.pair(rounds=2, each=4)
    slowed = [
        builders.Round(n, traced=False, latencies_ns=tuple(ns // 2 for ns in one.latencies_ns))
        if not one.traced
        else one
        for n, one in enumerate(asgi.rounds)
    ]
    assert comparison([wsgi, builders.measurement(slowed, "asgi")]).startswith(
        "Mind: Tracing itself made asgi"
    )


def test_a_request_of_choice_is_drawn_with_its_hand_offs_and_phases():
    request = builders.asgi_request(wake_ns=99_000)
    found = report(builders.pair(rounds=1)[1], request)
    assert f"Request: GET test/, 200, {request.duration_ns / 1e6:.2f} ms" in found
    assert "→ SecurityMiddleware.process_request" in found
    assert "wake 99" in found
    alone = printed(lambda console: render_request(request, console))
    assert "→ views.detail" in alone
    assert "After the response: 90 µs, not in the sum." in alone


def test_nested_hand_offs_are_indented():
    building = builders.Building().spend(5_000, "server")
    start = building.now
    outer_site = "django.core:run → shop.Timing"
    building.spend(30_000, "handoff", outer_site, phase="wake", state="wait")
    building.spend(40_000, "middleware", "shop.Timing")
    building.hop("shop:Timing", "inner", 50_000, "view", "shop.view")
    building.spend(30_000, "middleware", "shop.Timing")
    phases = {"wake": 30_000, "run": building.now - start - 30_000}
    building.hops.insert(0, building._hop(outer_site, start, phases, False, {}))
    building.spend(5_000, "server")
    found = steps(building.done(), 20)
    assert [row.depth for row in found] == [0, 0, 1, 1, 1, 0]
    assert "  → inner" in printed(lambda console: render_request(building.done(), console))


KINDS = st.sampled_from(["middleware", "handler", "hop", "server"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(KINDS, st.integers(1, 10**6)), min_size=1, max_size=60), st.integers(1, 30)
)
def test_any_request_folds_to_the_limit_and_loses_no_time(parts, limit):
    building = builders.Building()
    for number, (kind, ns) in enumerate(parts):
        if kind == "hop":
            building.hop("a:b", f"c{number}", ns, "view", f"v{number}")
        else:
            building.spend(ns, kind, f"{kind}{number}")
    request = building.done()
    found = steps(request, limit)
    assert len(found) <= limit
    assert sum(row.took_ns for row in found if not row.depth) == request.duration_ns


def test_every_layer_has_a_colour_a_name_and_a_meaning():
    assert set(COLOURS) == set(NAMES) == set(MEANINGS) == set(LAYERS)
    assert len(set(COLOURS.values())) == len(LAYERS)


def test_a_terminal_with_colours_gets_them():
    found = comparison(
        builders.pair(rounds=2, each=3),
        no_color=False,
        force_terminal=True,
        color_system="truecolor",
    )
    assert "\x1b[38;2;213;94;0m" in found
