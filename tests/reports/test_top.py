from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.support import builders
from tracer.agent.live import snapshot
from tracer.analysis.statistics.tally import tally
from tracer.analysis.statistics.window_stats import window_stats
from tracer.reports.top import SORTS, Shown, live_view


def told(requests):
    exact = tally(requests)
    return {**snapshot(exact, 3), "recording": "site.tracer", "workers": 2, "dropped": 0}


def printed(requests, shown, width=140, height=40):
    stream = io.StringIO()
    now = told(requests)
    view = live_view(now, window_stats(now, None), 0.0, shown, (width, height))
    Console(file=stream, width=width).print(view, highlight=False)
    return stream.getvalue()


@pytest.fixture(scope="module")
def requests():
    slow = [builders.wsgi_request(9_000_000, route="slow/") for _ in range(2)]
    failed = [builders.wsgi_request(route="failed/", status=500) for _ in range(3)]
    return [*slow, *failed, *(builders.asgi_request(route="asked/") for _ in range(5))]


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("t", "slow/"),
        ("r", "asked/"),
        ("p", "slow/"),
        ("9", "slow/"),
        ("h", "asked/"),
        ("l", "asked/"),
        ("e", "failed/"),
    ],
)
def test_it_is_sorted_by_what_a_key_says(requests, key, first):
    lines = printed(requests, Shown(sort=key)).splitlines()
    routes = [line.split(" ")[0] for line in lines if line.startswith(("slow", "asked", "failed"))]
    assert routes[0] == first
    assert len(routes) == 3
    assert f"by {SORTS[key][0]}" in "".join(lines)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_it_fits_the_terminal_and_shows_every_route(requests, width):
    found = printed(requests, Shown(), width=width)
    assert max(map(len, found.splitlines())) <= width
    for route in ("slow/", "asked/", "failed/"):
        assert route in found


def test_more_routes_than_lines_are_counted():
    many = [builders.wsgi_request(route=f"r{number}/") for number in range(30)]
    found = printed(many, Shown(), height=24)
    assert "26 more" in found
    assert len(found.splitlines()) <= 24


def test_names_are_never_read_as_markup():
    found = printed([builders.wsgi_request(route="[red]x[/red]/")], Shown(wanted="[red]"))
    assert "[red]x[/red]/" in found
    assert "route: [red]" in found
