"""The page in a real browser: what it shows, what can be done with it, what it never does."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest

from tests.reports import pages
from tests.reports.browser import Opened, chromium
from tests.support import builders
from tracer.model.wording import duration

SECTIONS = ["answer", "layers", "request", "handoffs", "distribution", "flames", "evidence"]
SCHEMES = {"light": (255, 255, 255), "dark": (20, 23, 28)}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("page") / "page.html"


@pytest.fixture(scope="module")
def document(path):
    return pages.comparison(path, title=f"wsgi · {pages.HOSTILE}")


@pytest.fixture(scope="module")
def opened(browser, path, document):
    found = Opened(browser, path)
    yield found
    assert found.said == []
    assert found.asked == [path.as_uri()]


@pytest.fixture
def page(opened):
    """The one page, as it is when it is opened."""
    page = opened.page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(media="screen", color_scheme="light")
    page.click("[data-side='1'][data-pick='median']")
    page.mouse.move(0, 0)
    opened.frames()
    return page


def span(page):
    """The stretch of time that the waterfall shows."""
    canvas = page.locator("#request canvas[role=application]")
    return int(canvas.get_attribute("data-from")), int(canvas.get_attribute("data-to"))


def cells(page, table, column):
    return [
        int(float(one))
        for one in page.eval_on_selector_all(
            f"#{table} tbody td:nth-child({column})", "all => all.map(one => one.dataset.value)"
        )
    ]


def colour(page):
    found = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return tuple(int(one) for one in re.findall(r"\d+", found)[:3])


def test_every_section_is_there_in_order_and_reached_by_the_bar_above(page):
    assert page.eval_on_selector_all("main > section", "all => all.map(one => one.id)") == SECTIONS
    links = page.eval_on_selector_all("#nav a", "all => all.map(one => one.getAttribute('href'))")
    assert links == [f"#{one}" for one in SECTIONS]
    for heading in page.locator("main h2").all():
        assert heading.inner_text().strip()


def test_the_answer_and_its_figures_are_the_documents(page, document):
    assert page.inner_text("#answer .answer").startswith("asgi is 4.0")
    for entry in document["configurations"]:
        for name, value in (("p50", entry["latency_ns"]["p50"]), ("requests", entry["requests"])):
            shown = page.locator(f'[data-figure="{entry["name"]}.{name}"]')
            assert float(shown.get_attribute("data-value")) == value
            if name == "p50":
                assert shown.inner_text() == duration(value)
    told = page.eval_on_selector_all("[data-finding]", "all => all.map(one => one.dataset.finding)")
    assert sorted(told) == sorted(one["id"] for one in document["findings"])
    savings = page.eval_on_selector_all(
        ".saving", "all => all.map(one => Number(one.dataset.value))"
    )
    assert savings == [s for one in document["findings"] if (s := one["predicted_saving_ns"]) > 0]


def test_the_tables_say_what_the_document_says_to_the_nanosecond(page, document):
    wsgi, asgi = document["configurations"]
    used = [
        (here, there, delta)
        for here, there, delta in zip(
            wsgi["layers"], asgi["layers"], document["comparison"]["layers"], strict=True
        )
        if here["mean_ns"] or there["mean_ns"]
    ]
    assert cells(page, "layers-table", 2) == [here["mean_ns"] for here, _, _ in used]
    assert cells(page, "layers-table", 3) == [there["mean_ns"] for _, there, _ in used]
    assert cells(page, "layers-table", 4) == [delta["delta_ns"] for _, _, delta in used]
    assert cells(page, "sites-asgi", 4) == [
        one["mean_ns"] for one in asgi["handoffs"]["sites"][:20]
    ]
    assert cells(page, "latency-table", 6)[0] == wsgi["latency_ns"]["p99"]
    shown = page.locator("#layers-table tbody tr").first.inner_text().split("\t")
    assert shown[1].strip() == duration(used[0][0]["mean_ns"])


def test_a_table_sorts_by_mouse_and_keys_and_copies_as_markdown(page):
    head = page.get_by_role("button", name="Sort by difference")
    head.click()
    found = cells(page, "layers-table", 4)
    assert found == sorted(found, reverse=True)
    head.focus()
    page.keyboard.press("Enter")
    assert cells(page, "layers-table", 4) == sorted(found)
    assert page.locator("#layers-table th[aria-sort=ascending]").count() == 1
    page.evaluate(
        "() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.click("#layers-table .copy")
    lines = page.evaluate("() => window.copied").splitlines()
    assert lines[0].startswith("| layer | wsgi | asgi | difference")
    assert re.fullmatch(r"(\| -+:? )+\|", lines[1])
    assert len(lines) == len(found) + 3
    assert page.inner_text("#layers-table .copy") == "Copied"


def test_a_request_is_picked_by_name_from_the_list_and_by_its_neighbours(page, path):
    (view,) = pages.data_in(path)["views"]
    for name, wanted in view["sides"][0]["picked"].items():
        page.click(f"[data-side='0'][data-pick='{name}']")
        assert page.get_attribute("#request-name", "data-id") == wanted
    before = int(page.get_attribute("#request-name", "data-value"))
    page.get_by_role("button", name="Faster").click()
    assert int(page.get_attribute("#request-name", "data-value")) <= before
    other = view["sides"][1]["requests"][3]
    page.select_option("#request select", f"1 {other['request_id']}")
    assert page.get_attribute("#request-name", "data-id") == other["request_id"]
    sums = page.eval_on_selector_all(
        "#request .sums li",
        "all => Object.fromEntries(all.map(one => [one.dataset.layer, Number(one.dataset.value)]))",
    )
    assert sums == {layer: ns for layer, ns in other["layers"].items() if ns}


def test_a_request_is_picked_from_the_scatter(page):
    page.click("[data-side='0'][data-pick='median']")
    before = page.get_attribute("#request-name", "data-id")
    over = page.locator("#request .chart .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    opened = set()
    for x in range(5, 100, 6):
        for y in range(5, 100, 12):
            page.mouse.move(box["x"] + box["width"] * x / 100, box["y"] + box["height"] * y / 100)
            if over.evaluate("one => one.style.cursor") == "pointer":
                page.mouse.down()
                page.mouse.up()
                opened.add(page.get_attribute("#request-name", "data-id"))
        if len(opened - {before}) > 1:
            break
    assert opened - {before}


def test_the_waterfall_zooms_and_pans_by_buttons_wheel_drag_and_keys(page, opened):
    canvas = page.locator("#request canvas[role=application]")
    canvas.scroll_into_view_if_needed()
    low, high = span(page)
    assert low == 0
    assert high == int(page.get_attribute("#request-name", "data-value"))
    page.click(".zoom-in")
    assert span(page)[1] - span(page)[0] == pytest.approx(0.6 * (high - low), rel=0.01)
    page.click("#request .fit")
    assert span(page) == (low, high)
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60)
    page.mouse.wheel(0, -400)
    opened.frames()
    assert span(page) == (low, high), "the page scrolls until the waterfall is meant"
    canvas.scroll_into_view_if_needed()
    canvas.focus()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60)
    page.mouse.wheel(0, -400)
    opened.frames()
    left, right = span(page)
    assert right - left < (high - low) / 2
    around = low + (high - low) / 4
    assert (around - left) / (right - left) == pytest.approx(0.25, abs=0.02)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 - 100, box["y"] + 60, steps=3)
    page.mouse.up()
    assert span(page)[0] > left
    for key, wider in (("+", False), ("-", True)):
        was = span(page)
        page.keyboard.press(key)
        assert (span(page)[1] - span(page)[0] > was[1] - was[0]) is wider
    was = span(page)
    page.keyboard.press("Shift+ArrowLeft")
    assert span(page)[0] < was[0]
    page.keyboard.press("0")
    assert span(page) == (low, high)


def test_keys_go_from_step_to_step_and_say_what_each_is(page, path):
    page.locator("#request canvas[role=application]").focus()
    page.keyboard.press("Home")
    assert page.inner_text("#chosen").startswith("network: 20 µs")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#chosen").startswith("server: 60 µs")
    assert "server: 60 µs" in page.text_content("#spoken")
    whole = span(page)
    page.keyboard.press("Enter")
    assert span(page)[1] - span(page)[0] < whole[1] - whole[0]
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert "Hand-off to" in page.inner_text("#chosen")
    page.keyboard.press("Escape")
    assert "Point at a step" in page.inner_text("#chosen")


def test_search_counts_what_matches_and_goes_there(page):
    canvas = page.locator("#request canvas[role=application]")
    canvas.focus()
    page.keyboard.press("/")
    page.keyboard.type("wake")
    steps = page.inner_text("#request .count")
    assert re.fullmatch(r"\d+ steps, .*", steps)
    page.keyboard.press("Enter")
    first = page.inner_text("#chosen")
    assert "wake" in first
    page.keyboard.press("Enter")
    assert page.inner_text("#chosen") != first
    page.keyboard.press("Escape")
    assert page.inner_text("#request .count") == ""
    assert page.evaluate("() => document.activeElement.getAttribute('role')") == "application"


def test_what_is_pointed_at_is_told(page):
    page.locator("#layers .piece").first.hover()
    assert re.match(r"wsgi, server: .*µs, \d+ %", page.inner_text("#tip"))
    page.locator("#layers .piece").nth(1).focus()
    assert page.is_visible("#tip")


def test_it_is_dark_where_the_system_is_or_somebody_says_so(page, opened):
    def inked():
        return page.evaluate(
            "() => document.querySelector('#request canvas[role=application]').toDataURL()"
        )

    assert colour(page) == SCHEMES["light"]
    light = inked()
    page.emulate_media(color_scheme="dark")
    opened.frames()
    assert colour(page) == SCHEMES["dark"]
    assert inked() != light, "what is drawn is drawn anew"
    page.click("#theme")
    assert colour(page) == SCHEMES["light"]
    page.click("#theme")
    page.emulate_media(color_scheme="light")
    assert colour(page) == SCHEMES["dark"]
    page.click("#theme")
    assert colour(page) == SCHEMES["light"]


def test_it_prints_light_without_what_only_a_screen_needs(page, tmp_path):
    page.emulate_media(media="print", color_scheme="dark")
    assert colour(page) == SCHEMES["light"]
    for hidden in ("#nav", "#request .tools", ".copy"):
        assert not page.locator(hidden).first.is_visible()
    assert page.is_visible("#request canvas[role=application]")
    printed = page.pdf(path=tmp_path / "page.pdf")
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 12


def test_it_fits_a_phone(page, opened):
    page.set_viewport_size({"width": 360, "height": 740})
    opened.frames()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert page.locator("#request canvas[role=application]").bounding_box()["width"] <= 360


def test_names_are_text_whatever_stands_in_them(page, opened):
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("img").count() == 0
    assert pages.HOSTILE in page.inner_text("header h1")
    assert page.locator("script").count() == 3
    assert pages.HOSTILE in page.text_content("#sites-asgi")


def test_it_has_no_way_to_the_network(browser, path, document):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        found = Opened(browser, path)
        tried = found.page.evaluate(
            """async (address) => {
              const image = new Image(); image.src = address;
              document.body.append(image);
              try { await fetch(address); return 'reached'; } catch { return 'refused'; }
            }""",
            address,
        )
        assert tried == "refused"
        with pytest.raises(TimeoutError):
            listener.accept()
        assert any("Content Security Policy" in one for one in found.said)
        found.context.close()


@pytest.mark.parametrize("segments", [1, 50_000])
def test_a_request_of_any_size_is_drawn(browser, tmp_path, segments):
    request = (
        builders.Building().spend(1, "view", "v").done()
        if segments == 1
        else pages.large_request(segments)
    )
    path = tmp_path / "page.html"
    pages.single(path, request)
    begin = time.monotonic()
    found = Opened(browser, path)
    assert time.monotonic() - begin < 15
    low, high = span(found.page)
    assert (low, high) == (0, request.duration_ns)
    found.page.click(".zoom-in")
    found.frames()
    if segments > 1:
        assert span(found.page)[1] < high
        (view,) = pages.data_in(path)["views"]
        assert len(view["sides"][0]["requests"][0]["segments"]) == len(request.segments)
    assert found.said == []
    found.context.close()


def test_lanes_and_arrows_are_those_of_the_request_and_of_what_ran_beside_it(browser, tmp_path):
    building = builders.Building(1_000_000).spend(10_000, "server", thread=1)
    building.hop("a:b", "shop.work", 9_000, "view", "shop.view")
    gathered = building.now
    building.spend(100_000, "view", "shop.view", state="wait").spend(5_000, "server", thread=1)
    phases = {**builders.PHASES, "run": 50_000}
    beside = building._hop("a:b → shop.other", gathered, phases, False, {"overlapped": True})
    building.hops.append(beside)
    ready = gathered + sum(phases[name] for name in ("prepare", "submit", "queue", "wake"))
    ran = builders.Segment(ready, ready + 50_000, "view", "shop.other", thread=9)
    path = tmp_path / "page.html"
    pages.single(path, building.done(overlapped=(ran,)))
    found = Opened(browser, path)
    canvas = found.page.locator("#request canvas[role=application]")
    assert canvas.get_attribute("data-lanes") == "event loop, worker thread 1, worker thread 2"
    assert canvas.get_attribute("data-arrows") == "0→1 0→2 1→0 2→0"
    canvas.focus()
    found.page.keyboard.press("/")
    found.page.keyboard.type("shop.other")
    found.page.keyboard.press("Enter")
    assert "worker thread 2, beside the main track" in found.page.inner_text("#chosen")
    found.context.close()


def test_three_sides_are_shown_also_one_that_answered_nothing(browser, tmp_path):
    wsgi, asgi = builders.pair(rounds=2, each=6)
    path = tmp_path / "page.html"
    pages.compared(path, [wsgi, asgi, builders.measurement([], "nothing")])
    found = Opened(browser, path)
    shown = found.page.eval_on_selector_all("main > section", "all => all.map(one => one.id)")
    assert shown == SECTIONS
    assert found.page.locator(".card").count() == 3
    assert found.page.locator("#layers-table thead th").count() == 4
    assert found.said == []
    found.context.close()


def test_a_recordings_page_without_hand_offs_has_no_such_section(browser, tmp_path):
    path = tmp_path / "page.html"
    document = pages.single(path, builders.wsgi_request(client=False))
    found = Opened(browser, path)
    shown = found.page.eval_on_selector_all("main > section", "all => all.map(one => one.id)")
    assert shown == [one for one in SECTIONS if one != "handoffs"]
    assert json.dumps(document)
    assert found.said == []
    found.context.close()
