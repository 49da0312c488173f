"""Each format against its readers' own checks: a published schema, a tool, a line format."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from tests.flame.pictures import HOSTILE, LOOP, POOL, US, compared, many, one
from tests.reports.pages import DATA
from tests.reports.stacked import rows
from tracer.reports.flame.collapsed import collapsed
from tracer.reports.flame.html import page
from tracer.reports.flame.perfetto import perfetto
from tracer.reports.flame.pprof import pprof
from tracer.reports.flame.speedscope import speedscope
from tracer.reports.flame.text import render_flame

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "speedscope.json").read_text())
PICTURES = {"one": one, "many": many, "compared": compared}
# flamegraph.pl and difffolded.pl: everything up to the last white space is the stack.
LINE = re.compile(r"^(.*)\s+?(\d+(?:\.\d*)?)$")
GO = shutil.which("go")


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_speedscope_fits_its_published_schema(picture):
    document = json.loads(json.dumps(speedscope(picture())))
    jsonschema.validate(document, SCHEMA)


def test_speedscope_has_a_stitched_profile_and_one_a_thread():
    picture = one()
    profiles = speedscope(picture)["profiles"]
    assert [p["name"] for p in profiles] == [
        "all threads, stitched", f"thread {LOOP}", f"thread {POOL}",
    ]  # fmt: skip
    stitched = profiles[0]
    assert stitched["startValue"] == 0
    assert stitched["endValue"] == 1_030 * US, "what comes after the response is there too"
    for profile in profiles:
        open_frames, last = [], profile["startValue"]
        for event in profile["events"]:
            assert last <= event["at"] <= profile["endValue"]
            last = event["at"]
            if event["type"] == "O":
                open_frames.append(event["frame"])
            else:
                assert open_frames.pop() == event["frame"]
        assert open_frames == []


def test_speedscope_adds_up():
    picture = many(3)
    (profile,) = speedscope(picture)["profiles"]
    assert sum(profile["weights"]) == picture.totals.total_ns


def test_collapsed_lines_are_what_flamegraph_reads():
    picture = one()
    total = 0
    for line in collapsed(picture):
        found = LINE.match(line.rstrip("\n"))
        assert found, line
        assert "\n" not in found[1]
        total += int(found[2])
    assert total == picture.totals.total_ns
    assert "view;shop.views.detail;shop.views:detail;time:sleep 250000\n" in list(
        collapsed(picture)
    )


def test_a_comparison_collapses_to_two_counts():
    for line in collapsed(compared()):
        stack, a, b = line.rsplit(None, 2)
        assert stack
        assert int(a) >= 0 <= int(b)


def test_perfetto_has_a_track_a_thread_and_arrows_between():
    document = json.loads(json.dumps(perfetto(one())))
    trace = document["traceEvents"]
    assert all({"ph", "pid", "name"} <= event.keys() for event in trace)
    names = {e["args"]["name"] for e in trace if e["name"] == "thread_name"}
    assert names == {"request, stitched", f"thread {LOOP}", f"thread {POOL}"}
    slices = [event for event in trace if event["ph"] == "X"]
    assert all(event["ts"] >= 0 and event["dur"] > 0 for event in slices)
    for tid in (0, LOOP, POOL):
        _assert_nested([(e["ts"], e["ts"] + e["dur"]) for e in slices if e["tid"] == tid])
    starts = {e["id"]: e for e in trace if e["ph"] == "s"}
    ends = {e["id"]: e for e in trace if e["ph"] == "f"}
    assert starts.keys() == ends.keys() != set()
    for number, start in starts.items():
        assert start["tid"] != ends[number]["tid"]
        assert start["ts"] <= ends[number]["ts"]
        for end in (start, ends[number]):
            assert any(
                e["tid"] == end["tid"] and e["ts"] <= end["ts"] < e["ts"] + e["dur"] for e in slices
            ), "an arrow begins and ends in a slice"
    lag = [event["args"]["ms"] for event in trace if event["ph"] == "C"]
    assert lag == [0.02, 0.0]


def _assert_nested(intervals):
    open_ends = []
    for start, end in sorted(intervals, key=lambda one: (one[0], -one[1])):
        while open_ends and open_ends[-1] <= start + 1e-6:
            open_ends.pop()
        assert not open_ends or end <= open_ends[-1] + 1e-6
        open_ends.append(end)


@pytest.mark.parametrize("picture", [many, compared], ids=["many", "compared"])
def test_perfetto_shows_one_request_only(picture):
    with pytest.raises(ValueError, match="one request"):
        perfetto(picture())


def test_pprof_compares_two_files_itself():
    with pytest.raises(ValueError, match="diff_base"):
        pprof(compared())


@pytest.mark.skipif(GO is None, reason="Go isn't installed")
def test_go_reads_the_pprof_file(tmp_path):
    picture = one()
    path = tmp_path / "one.pb.gz"
    path.write_bytes(pprof(picture))
    top = _go(path, "-top", "-unit=ns")
    assert f"{picture.totals.total_ns}ns" in top
    assert re.search(r"250000ns.* time:sleep$", top, re.MULTILINE)
    assert "shop.prices:price" in top
    tags = _go(path, "-tags")
    assert picture.request.trace_id in tags
    assert picture.request.request_id in tags
    raw = _go(path, "-raw")
    assert "/shop/prices.py:3" in raw


def _go(path, *options):
    done = subprocess.run(
        [GO, "tool", "pprof", *options, str(path)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_text_shows_the_layers_and_the_functions(picture):
    console = Console(file=io.StringIO(), width=120)
    render_flame(picture(), console)
    told = console.file.getvalue()
    for word in ("view", "hand-off", "shop.views:detail", "time:sleep", "waiting for a timer"):
        assert word in told


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_a_page_needs_no_other_file_and_hostile_names_stay_text(picture):
    told = page(picture())
    assert HOSTILE not in told
    assert told.count("<script") == 2
    assert not re.search(r"""src\s*=|href="(?!#)|url\(|@import|https?://|unsafe-""", told)
    data = DATA.search(told)[1]
    document = json.loads(data)
    assert document["schema"] == "tracer.flame/1"
    assert any(HOSTILE in step[0] for step in document["steps"])


def test_the_page_has_the_figures_of_the_picture():
    picture = one()
    told = page(picture)
    document = json.loads(DATA.search(told)[1])
    for view in (document["views"][0], document["views"][-1]):
        layers = {}
        for _x, _width, depth, step, ns, _b in rows(view):
            if depth == 0:
                name = document["steps"][step][0]
                layers[name] = layers.get(name, 0) + ns
        assert layers == view["layers"] == picture.request.layers
