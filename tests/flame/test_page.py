"""The page in a real Chromium: it draws, zooms, searches, asks the network for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flame.pictures import HOSTILE, compared, one
from tests.reports.browser import chromium
from tracer.reports.flame.html import page


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, tmp_path):
    """Open a picture's page; at the end nothing was complained of and nothing asked for."""
    contexts, said, asked = [], [], []

    def open_page(picture, **options):
        path = Path(tmp_path, "flame.html")
        path.write_text(page(picture), encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("file:")] == []


def pixels(tab):
    return tab.evaluate("() => document.querySelector('canvas').toDataURL()")


def frames(tab):
    """Wait until what was asked to be drawn is drawn."""
    tab.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def told(tab):
    return tab.inner_text(".told")


def span(tab):
    canvas = tab.locator("canvas")
    return int(canvas.get_attribute("data-from")), int(canvas.get_attribute("data-to"))


def test_it_draws_zooms_and_is_whole_again(opened):
    tab = opened(one())
    frames(tab)
    whole, begin = pixels(tab), span(tab)
    assert begin == (0, 1_000_000)
    tab.focus("canvas")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        tab.keyboard.press(key)
    assert told(tab).startswith("view: 0.40 ms, 40 %")
    tab.keyboard.press("ArrowDown")
    assert told(tab).startswith("shop.views.detail: 0.40 ms, 40 %\n\nat 0.10 ms · view")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Enter")
    assert span(tab) == (100_000, 500_000)
    tab.keyboard.press("Shift+ArrowRight")
    assert span(tab) == (180_000, 580_000)
    tab.keyboard.press("+")
    assert span(tab)[1] - span(tab)[0] == pytest.approx(280_000, abs=2)
    frames(tab)
    assert pixels(tab) != whole
    tab.keyboard.press("Escape")
    frames(tab)
    assert span(tab) == begin
    assert pixels(tab) == whole


def test_a_search_counts_what_it_finds_and_goes_there(opened):
    tab = opened(one())
    frames(tab)
    before = pixels(tab)
    tab.keyboard.press("/")
    tab.keyboard.type("shop.views")
    count = tab.inner_text(".count")
    assert count == "4 levels, 0.80 ms", "what lies within a match isn't counted twice"
    frames(tab)
    assert pixels(tab) != before
    tab.keyboard.press("Enter")
    first = told(tab)
    assert "shop.views" in first
    tab.keyboard.press("Enter")
    assert told(tab) != first
    tab.keyboard.press("Escape")
    assert tab.inner_text(".count") == ""
    frames(tab)


def test_views_are_chosen_by_buttons_and_the_table_has_the_figures(opened):
    tab = opened(one())
    assert tab.locator("[data-view]").all_inner_texts() == [
        "over time", "thread 11", "thread 22", "after the response", "by stack",
    ]  # fmt: skip
    frames(tab)
    before = pixels(tab)
    tab.click("text=by stack")
    frames(tab)
    assert pixels(tab) != before
    tab.click("summary")
    rows = [row.replace("\t", " ") for row in tab.locator("tbody tr").all_inner_texts()]
    assert any(row.startswith("0.25 ms view time:sleep") for row in rows)


def test_hostile_names_are_only_text(opened):
    tab = opened(one())
    assert tab.evaluate("() => document.scripts.length") == 2
    assert HOSTILE in tab.text_content("table")


def test_a_click_chooses_what_is_under_the_pointer_and_zooms_to_it(opened):
    tab = opened(one())
    bounds = tab.locator("canvas").bounding_box()
    tab.mouse.move(bounds["x"] + bounds["width"] * 0.3, bounds["y"] + 34)
    assert tab.inner_text("#tip").startswith("view: 0.40 ms, 40 %")
    tab.mouse.down()
    tab.mouse.up()
    assert told(tab).startswith("view: 0.40 ms")
    assert span(tab) == (100_000, 500_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_and_dark_and_fits_a_phone(opened, scheme):
    tab = opened(compared(), color_scheme=scheme, viewport={"width": 360, "height": 640})
    paper = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert "longer in asgi than in wsgi" in tab.inner_text(".legend")
