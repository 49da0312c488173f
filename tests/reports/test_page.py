from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from importlib.resources import files

import pytest

from tests.reports import pages
from tests.support import builders
from tracer.analysis.statistics.overview import Overview
from tracer.analysis.statistics.summary import summarise
from tracer.reports.flame import html as flame
from tracer.reports.page.compact import CERTAINTIES, STATES, Compact
from tracer.reports.page.render import SCRIPTS, STYLES
from tracer.reports.page.view import pick, repeat_of, side_of

NODE = shutil.which("node")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    return path, pages.comparison(path)


def test_the_page_holds_the_contracts_document_unchanged(page):
    path, document = page
    data = pages.data_in(path)
    assert data["schema"] == "tracer.page/1"
    assert data["views"][0]["document"] == document
    assert data["views"][0]["said"]["answers"][0].startswith("asgi is 4.0")


def test_its_data_are_lines_that_a_person_can_read(page):
    text = pages.DATA.search(page[0].read_text(encoding="utf-8"))[1]
    assert re.search(r'^ +"latency_ratio": {"value": 3\.9', text, re.MULTILINE)
    assert re.search(r'^ +{"layer": "handoff", "mean_ns": \d+,', text, re.MULTILINE)


def test_nothing_in_it_leaves_it(page):
    text = page[0].read_text(encoding="utf-8")
    own = re.sub(r"<script type=\"application/json.*?</script>", "", text, flags=re.DOTALL)
    own = own.replace("https://github.com/leeoniya/uPlot", "")  # whose it is, a comment
    assert not re.search(r"https?://|@import|\bsrc=|url\(|<link|<iframe|<form", own)
    assert "default-src &#39;none&#39;" in own


def test_no_name_can_end_the_data_or_begin_a_script(page):
    text = page[0].read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 3
    assert "<img" not in text
    assert "onerror" in text, "the names are in it, as data"


def test_the_policy_allows_exactly_the_scripts_and_styles_that_are_there(page):
    text = page[0].read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    blocks = re.findall(r"<(?:style|script|script type=\"module\")>(.*?)</s", text, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert digest.replace("+", "&#43;") in policy or digest in policy
    assert "unsafe" not in policy


def test_every_script_and_style_is_in_the_page_and_every_asset_is_used():
    folder = files("tracer.reports.page")
    there = {f"assets/{one.name}" for one in folder.joinpath("assets").iterdir()}
    assert there - {"assets/page.html"} == {
        *(f"assets/{name}" for name in (*SCRIPTS, *flame.SCRIPTS)),
        *(name for name in STYLES if name.startswith("assets/")),
    }
    assert folder.joinpath("vendor", "uPlot.LICENSE").is_file()


@pytest.mark.skipif(
    not shutil.which("node"), reason="node isn't here; the browser tests run it too"
)
def test_the_scripts_are_short_and_whole():
    folder = files("tracer.reports.page").joinpath("assets")
    for scripts in (SCRIPTS, flame.SCRIPTS):
        texts = {name: folder.joinpath(name).read_text() for name in scripts}
        for name, text in texts.items():
            assert len(text.splitlines()) <= 300, name
        done = subprocess.run(
            [NODE, "--input-type=module", "--check"],
            input="\n".join(texts.values()).encode(),
            check=False,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr


def test_a_compact_request_says_all_that_the_contract_says_of_it():
    request = builders.asgi_request()
    compact = Compact()
    small, tables = compact.request(request), compact.tables()
    full = request.to_json()
    owners = tables["owners"]
    for name in ("segments", "after_response", "overlapped"):
        unfolded = [
            {
                "start_ns": small["start_ns"] + at,
                "end_ns": small["start_ns"] + at + ns,
                **dict(zip(tables["columns"]["owner"], owners[owner], strict=True)),
                "state": STATES[state],
                "thread": None if thread is None else small["threads"][thread],
                "certainty": CERTAINTIES[certainty],
            }
            for at, ns, owner, state, thread, certainty in small[name]
        ]
        assert unfolded == full[name]
    for row, hop in zip(small["hops"], full["hops"], strict=True):
        known = dict(zip(tables["columns"]["hop"], row, strict=True))
        assert tables["sites"][known["site"]] == hop["site"]
        assert {phase: known[phase] for phase in hop["phases"]} == hop["phases"]
        assert known["offset_ns"] + small["start_ns"] == hop["start_ns"]
        assert known["parent"] == hop["parent"]
    assert small["layers"] == full["layers"]


def test_median_p99_and_slowest_are_in_it_however_large_and_others_while_there_is_room():
    wsgi, asgi = builders.pair(rounds=2, each=40)
    for measured in (wsgi, asgi):
        entry = summarise(measured)
        side = side_of(measured, entry, segments=1_000)
        ids = {one.request_id for one in side.requests}
        assert set(side.picked.values()) <= ids
        assert set(side.picked) == {"median", "p99", "slowest"}
        assert sum(len(one.segments) for one in side.requests) < 1_000 + 3 * 250
        assert (
            max(side.requests, key=lambda one: one.duration_ns).request_id == side.picked["slowest"]
        )
    tiny = side_of(asgi, summarise(asgi), segments=0)
    assert {one.request_id for one in tiny.requests} == set(tiny.picked.values())


def test_a_request_that_was_asked_for_is_there_once_and_opened_first():
    requests = [builders.asgi_request(n * 1_000) for n in range(5)]
    side = pick(
        builders.measurement([builders.one_round(requests)]),
        Overview.of_requests(requests),
        lambda numbers: (requests[number] for number in numbers),
        median_ns=requests[2].duration_ns,
        p99_ns=requests[4].duration_ns,
        wanted=requests[1],
    )
    assert next(iter(side.picked.items())) == ("wanted", requests[1].request_id)
    assert [one.request_id for one in side.requests].count(requests[1].request_id) == 1


def test_it_says_by_which_command_it_is_measured_again(page):
    (command,) = repeat_of(page[1])
    assert command.startswith("tracer compare --config 'wsgi=serve ")
    assert command.endswith(
        "--path /test/ --rounds 3 --requests 20 --concurrency 1 --connection keep-alive"
    )
    assert repeat_of({**page[1], "load": None})[0].startswith(
        "tracer run --record wsgi.tracer -- serve"
    )
