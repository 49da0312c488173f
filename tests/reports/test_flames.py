"""Which flame graphs a page has, that they sum to the breakdown, and that they stay small."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.flame.pictures import Tree, name
from tests.reports.stacked import LOAD, comparison, measured, report, rows, taken, without_a_thread
from tracer.analysis.documents import report_document
from tracer.model.stackframes import EXACT, SAMPLED, Stretch
from tracer.reports.page import flames as flames_module
from tracer.reports.page.flames import ROOM, Stacked, flames_of
from tracer.reports.page.view import view_of


def drawn_in(picture, steps, view=-1):
    found = {}
    for _x, _width, depth, step, ns, _b in rows(picture["views"][view]):
        if depth == 0:
            found[steps[step][0]] = found.get(steps[step][0], 0) + ns
    return found


def of_kind(document, kind):
    return [one for one in document["pictures"] if one["kind"] == kind]


@pytest.mark.parametrize("source", [EXACT, SAMPLED])
def test_the_layers_of_a_flame_sum_to_the_breakdown_of_its_request(source):
    several = taken(source=source)
    document = flames_of([Stacked("site", several)])
    breakdowns = {one.request_id: one.layers for one, _ in several}
    pictures = of_kind(document, "request")
    assert {one["request_id"] for one in pictures} == set(breakdowns)
    for picture in pictures:
        assert [one["name"] for one in picture["views"]] == [
            "over time", "after the response", "by stack",
        ]  # fmt: skip
        for view in (0, -1):
            wanted = breakdowns[picture["request_id"]]
            assert drawn_in(picture, document["steps"], view) == wanted
            assert picture["views"][view]["layers"] == wanted


def test_what_is_added_up_is_the_mean_of_its_requests():
    several = taken(4)
    (picture,) = of_kind(document := flames_of([Stacked("site", several)]), "aggregate")
    found = drawn_in(picture, document["steps"])
    for layer, ns in found.items():
        assert ns == round(sum(one.layers[layer] for one, _ in several) / 4)
    assert picture["title"] == "test/, 4 requests"


def test_a_difference_has_both_sides_figures():
    a, b = taken(3), without_a_thread(taken(3))
    document = flames_of([Stacked("wsgi", a), Stacked("asgi", b)])
    first = document["pictures"][0]
    assert (first["kind"], first["pick"]) == ("difference", "asgi against wsgi")
    steps = document["steps"]
    changed = {
        (steps[step][0].partition(";")[0], a_ns, b_ns)
        for *_, step, a_ns, b_ns in rows(first["views"][0])
        if a_ns != b_ns
    }
    assert changed == {
        ("shop.prices:price", 300_000, 0),
        ("waiting for a timer", 100_000, 0),
        ("waiting for a timer", 0, 100_000),
    }
    assert drawn_in(first, steps) == drawn_in(of_kind(document, "aggregate")[0], steps)


def test_median_and_slowest_have_a_button_and_one_that_was_asked_for_comes_first():
    several = taken(9)
    picks = {
        one["pick"]: one["request_id"]
        for one in of_kind(flames_of([Stacked("site", several)]), "request")
        if one["pick"]
    }
    assert picks == {"median": f"{5:016x}", "slowest": f"{9:016x}"}
    document = flames_of([Stacked("site", several, wanted=f"{2:016x}")])
    first = document["pictures"][0]
    assert (first["pick"], first["request_id"]) == ("asked for", f"{2:016x}")


def test_requests_too_short_for_samples_are_shown_added_up_first():
    long = dataclasses.replace
    thin = [(one, long(kept, interval_ns=500_000)) for one, kept in taken(source=SAMPLED)]
    assert flames_of([Stacked("site", thin)])["pictures"][0]["kind"] == "aggregate"
    assert flames_of([Stacked("site", thin[:1])])["pictures"][0]["kind"] == "request"
    exact = flames_of([Stacked("site", taken())])["pictures"][0]
    assert (exact["kind"], exact["pick"]) == ("request", "median")


def test_routes_are_added_up_each_and_together():
    several = [*taken(3), *taken(2, route="other/", first=4)]
    titles = [one["title"] for one in of_kind(flames_of([Stacked("site", several)]), "aggregate")]
    assert titles == ["all routes, 5 requests", "test/, 3 requests", "other/, 2 requests"]


def test_a_side_without_stacks_is_left_out():
    document = flames_of([Stacked("wsgi", ()), Stacked("asgi", taken(2))])
    assert {one["kind"] for one in document["pictures"]} == {"request", "aggregate"}


def test_those_shown_apart_are_not_added_up():
    document = flames_of([Stacked("site", taken(3), apart=taken(2, first=8))])
    assert of_kind(document, "aggregate")[0]["title"] == "test/, 3 requests"
    assert of_kind(document, "request")[1]["request_id"] == f"{9:016x}", "the slowest of all"


def large(number, calls=6_000):
    """A request whose one long segment holds so many calls of functions, each another."""
    ((made, kept),) = taken(1, first=number)
    tree = Tree()
    start = made.segments[2].start_ns
    stretches = tuple(
        Stretch(start + place * 60, start + place * 60 + 60, kept.stretches[0].thread,
                tree.node(name("shop.generated", f"<lambda>{number}.{place}")))
        for place in range(calls)
    )  # fmt: skip
    return made, dataclasses.replace(
        kept, names=tuple(tree.names), nodes=tuple(tree.nodes), stretches=stretches
    )


def test_however_much_there_is_it_stays_small_and_the_layers_whole():
    several = [large(number) for number in range(1, 7)]
    document = flames_of([Stacked("site", several)])
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    assert len(text) + 5 * text.count("<") <= ROOM
    for picture in of_kind(document, "request"):
        assert picture["views"][-1]["hidden"] > 1_000
        (made,) = [one for one, _ in several if one.request_id == picture["request_id"]]
        assert all(
            view["layers"] == made.layers for view in (picture["views"][0], picture["views"][-1])
        )
        assert drawn_in(picture, document["steps"]) == made.layers


def test_where_even_that_is_too_much_the_last_ones_are_left_out(monkeypatch):
    several = [large(number) for number in range(1, 7)]
    whole = len(flames_of([Stacked("site", several)])["pictures"])
    monkeypatch.setattr(flames_module, "ROOM", 20_000)
    document = flames_of([Stacked("site", several)])
    assert 1 <= len(document["pictures"]) < whole


def test_without_stacks_a_page_says_how_to_get_them():
    one = measured("site", taken(2))
    document = report_document(one)
    assert "`tracer run --flame all -- SERVER COMMAND`" in view_of(document, [])["flames"]["how"]
    document["load"] = LOAD
    assert "`tracer compare --flame`" in view_of(document, [])["flames"]["how"]


def test_pages_have_them(tmp_path):
    assert report(tmp_path / "a.html", taken())["flames"]["pictures"]
    sides = {"wsgi": taken(2), "asgi": without_a_thread(taken(2))}
    assert comparison(tmp_path / "b.html", sides)["flames"]["pictures"]
