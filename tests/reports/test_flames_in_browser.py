"""The flame graphs of a report in a real Chromium: drawn, moved, searched, and right."""

from __future__ import annotations

import pytest

from tests.flame.pictures import HOSTILE
from tests.reports.browser import Opened, chromium
from tests.reports.pages import single
from tests.reports.stacked import comparison, report, taken, without_a_thread
from tests.support import builders
from tracer.model.wording import duration

CANVAS = "#flames canvas[role=application]"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def requests():
    return taken(5)


@pytest.fixture(scope="module")
def recorded(browser, requests, tmp_path_factory):
    """The page of a recording with stacks; in the end it complained of and asked for nothing."""
    path = tmp_path_factory.mktemp("flames") / "page.html"
    report(path, requests)
    found = Opened(browser, path)
    yield found
    assert found.said == []
    assert found.asked == [path.as_uri()]


@pytest.fixture(scope="module")
def compared(browser, tmp_path_factory):
    """The page of a comparison with stacks, likewise."""
    path = tmp_path_factory.mktemp("flames") / "page.html"
    view = comparison(path, {"wsgi": taken(3), "asgi": without_a_thread(taken(3))})
    found = Opened(browser, path)
    yield found, view
    assert found.said == []
    assert found.asked == [path.as_uri()]


@pytest.fixture
def page(recorded):
    """The page as it is with the median request's flame."""
    page = recorded.page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(media="screen", color_scheme="light")
    page.click("#flames .picks button:has-text('median')")
    page.mouse.move(0, 0)
    recorded.frames()
    return page


def pixels(page):
    return page.evaluate(f"() => document.querySelector('{CANVAS}').toDataURL()")


def span(page):
    canvas = page.locator(CANVAS)
    return int(canvas.get_attribute("data-from")), int(canvas.get_attribute("data-to"))


def sums(page):
    return page.eval_on_selector_all(
        "#flames .sums li",
        "all => Object.fromEntries(all.map(one => [one.dataset.layer, Number(one.dataset.value)]))",
    )


def told(page):
    return page.inner_text("#flames .told")


def test_the_section_is_reached_by_the_bar_above(page):
    assert page.locator("#nav a[href='#flames']").inner_text() == "Flames"
    assert page.inner_text("#flames h2") == "Flame graphs"
    assert "exact calls" in page.inner_text("#flames .notes")


def test_its_sums_are_the_breakdown_of_the_request_over_time_and_by_stack(page, requests):
    layers = {one.request_id: one.layers for one, _ in requests}
    for which in ("median", "slowest"):
        page.click(f"#flames .picks button:has-text('{which}')")
        wanted = layers[page.get_attribute("#flame-name", "data-id")]
        for view in ("over time", "by stack"):
            page.click(f"#flames [data-view='{view}']")
            assert sums(page) == wanted
    assert page.inner_text("#flames .sums").count(duration(wanted["view"])) == 1


def test_any_request_is_chosen_from_the_list(page, requests):
    labels = page.eval_on_selector_all("#flames option", "all => all.map(one => one.textContent)")
    assert len(labels) == len(requests) + 1
    seen = set()
    for place in range(len(labels)):
        page.select_option("#flames select", str(place))
        seen.add(page.get_attribute("#flame-name", "data-id"))
    assert seen - {None} == {one.request_id for one, _ in requests}


def test_keys_go_through_the_levels_and_zoom(page, recorded):
    whole, drawn = span(page), pixels(page)
    page.focus(CANVAS)
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert told(page).startswith("shop.views.detail: 0.40 ms")
    page.keyboard.press("Enter")
    assert span(page) == (100_000, 500_000)
    page.keyboard.press("ArrowUp")
    assert told(page).startswith("view: 0.40 ms")
    page.keyboard.press("-")
    assert span(page)[1] - span(page)[0] > 400_000
    page.keyboard.press("Escape")
    recorded.frames()
    assert span(page) == whole
    assert pixels(page) == drawn
    assert "focus the picture" in told(page)


def test_buttons_wheel_and_drag_move_it(page, recorded):
    low, high = span(page)
    page.click("#flames .zoom-in")
    assert span(page)[1] - span(page)[0] == pytest.approx(0.6 * (high - low), rel=0.01)
    page.click("#flames .fit")
    canvas = page.locator(CANVAS)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60)
    page.mouse.wheel(0, -300)
    recorded.frames()
    assert span(page) == (low, high), "the page scrolls until the picture is meant"
    canvas.focus()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60)
    page.mouse.wheel(0, -300)
    recorded.frames()
    left, right = span(page)
    assert right - left < high - low
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 - 80, box["y"] + 60, steps=3)
    page.mouse.up()
    assert span(page)[0] > left


def test_search_adds_up_what_matches_and_goes_there(page, recorded):
    before = pixels(page)
    page.focus(CANVAS)
    page.keyboard.press("/")
    page.keyboard.type("time:sleep")
    assert page.inner_text("#flames .count") == "1 level, 0.25 ms"
    recorded.frames()
    assert pixels(page) != before
    page.keyboard.press("Enter")
    assert told(page).startswith("time:sleep: 0.25 ms")
    page.keyboard.press("Escape")
    assert page.inner_text("#flames .count") == ""
    assert page.evaluate("() => document.activeElement.tagName") == "CANVAS"


def test_what_is_pointed_at_is_told(page):
    canvas = page.locator(CANVAS)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 24 + 50)
    assert page.inner_text("#tip").startswith("shop.views:detail: 0.40 ms")
    assert "/shop/views.py:7" in page.inner_text("#tip")


def test_names_are_text_whatever_stands_in_them(page):
    page.locator("#flames summary").click()
    assert HOSTILE in page.inner_text("#flame-table")
    assert page.locator("script").count() == 3
    page.locator("#flames summary").click()


def test_it_is_drawn_anew_in_the_dark_and_for_paper(page, recorded):
    light = pixels(page)
    page.emulate_media(color_scheme="dark")
    recorded.frames()
    assert pixels(page) != light
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#flames .tools").is_visible()
    assert page.is_visible(CANVAS)
    assert page.pdf().startswith(b"%PDF")


def test_it_fits_a_phone(page, recorded):
    page.set_viewport_size({"width": 360, "height": 740})
    recorded.frames()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert page.locator(CANVAS).bounding_box()["width"] <= 360


def test_a_comparison_begins_with_the_difference_and_has_each_side(compared):
    found, view = compared
    page = found.page
    assert page.get_attribute("#flame-name", "data-kind") == "difference"
    assert "longer in asgi than in wsgi" in page.inner_text("#flames .legend")
    page.focus(CANVAS)
    page.keyboard.press("/")
    page.keyboard.type("shop.prices:price")
    page.keyboard.press("Enter")
    assert told(page).splitlines()[0].endswith(": -0.30 ms")
    assert "wsgi 0.30 ms, asgi 0 ns" in told(page)
    page.locator("#flames summary").click()
    rows = page.locator("#flame-table tbody tr").all_inner_texts()
    figures = {tuple(cell.strip() for cell in row.split("\t")[:3]) for row in rows[:3]}
    assert ("0.20 ms", "0 ns", "-0.20 ms") in figures
    assert ("0 ns", "0.20 ms", "+0.20 ms") in figures, "it went to whoever called it"
    for name in ("wsgi", "asgi"):
        page.click(f"#flames .picks button:has-text('{name}: added up')")
        (picture,) = [
            one for one in view["flames"]["pictures"] if one["pick"] == f"{name}: added up"
        ]
        assert sums(page) == picture["views"][0]["layers"]
        assert "means per request" in page.inner_text("#flames .legend >> nth=-1")


def test_without_stacks_it_says_in_a_line_how_to_get_them(browser, tmp_path):
    path = tmp_path / "page.html"
    single(path, builders.wsgi_request(client=False))
    found = Opened(browser, path)
    assert found.page.inner_text("#flames .intro") == (
        "No request has Python stacks: tracer run --flame all -- SERVER COMMAND takes them."
    )
    assert found.page.locator("#flames canvas").count() == 0
    assert found.said == []
    found.context.close()
