from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.reports.pages import data_in
from tests.support.server import ROOT, environment, tracer
from tracer.commands import main
from tracer.model import frames
from tracer.model.timeline import DONE, ENTER, EXIT, LAST, OS_THREAD, STEP, Timeline
from tracer.model.timeline import ROOT as ROOT_TRACK
from tracer.recording.reader import RecordingWriter

NAMES = ["wsgi", "gunicorn.sync", "GET", "complete", "test/", "slow/", "view\x1fshop.view\x1f\x1f"]
FORMATS = ("text", "json", "jsonl", "html")


def write(path, lengths=(300, 100, 200, 900), names=NAMES):
    """A recording of requests that took so many microseconds; the longest of another route."""
    writer = RecordingWriter(path, {"command": "gunicorn shop.wsgi"})
    writer.begin()
    writer.worker("1-0.ring", {"pid": 1, "seams": [], "environment": {"python": "3.12"}}, 0)
    writer.names("1-0.ring", names)
    for number, length in enumerate(lengths, 1):
        start, end = number * 10_000_000, number * 10_000_000 + length * 1_000
        timeline = Timeline(number, start, 2, 1)
        timeline.method, timeline.outcome, timeline.status = 3, 4, 200
        timeline.route = 6 if length == max(lengths) else 5
        for mark in (
            (OS_THREAD, start, 1, 1),
            (STEP, start, 1, ROOT_TRACK),
            (ENTER, start + 1_000, 1, 7),
            (EXIT, end - 1_000, 1, 7),
            (LAST, end, 1, 0),
            (DONE, end, 1, ROOT_TRACK),
        ):
            timeline.append(mark)
        ids = (number, 0xAB00 + number, None)
        frame = frames.encode_timeline(timeline, timeline.finish(), end, ids)
        writer.frame("1-0.ring", frames.TIMELINE, frame)
    writer.commit()
    writer.close()
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report") / "site.tracer")


class Done:
    """What a command in this process came to, as if it had been run."""

    def __init__(self, result):
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        self.returncode, self.stdout, self.stderr = result.exit_code, result.stdout, result.stderr


def report(*arguments, **options):
    if options:
        return tracer("report", *arguments, **options)
    return Done(CliRunner().invoke(main, ["report", *map(str, arguments)]))


def lines(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(done, *said):
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    for word in said:
        assert word in last


def test_jsonl_is_one_request_a_line_in_the_order_they_ended(recording):
    found = lines(report(recording, "--format", "jsonl"))
    assert [one["schema"] for one in found] == ["tracer.request/1"] * 4
    assert [int(one["request_id"], 16) for one in found] == [1, 2, 3, 4]
    assert found[0]["layers"]["view"] == 298_000


def test_json_is_one_document_of_the_contract(recording):
    done = report(recording, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["schema"] == "tracer.report/1"
    (configuration,) = document["configurations"]
    assert configuration["requests"] == 4
    assert configuration["command"] == "gunicorn shop.wsgi"
    assert configuration["latency_ns"]["mean"] == 375_000
    assert sum(layer["mean_ns"] for layer in configuration["layers"]) == pytest.approx(375_000)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("slowest", 4),
        ("median", 3),
        (f"{2:016x}", 2),
        (f"{0xAB01:032x}", 1),
        (f"{0xAB01:032X}", 1),
    ],
)
def test_one_request_is_chosen_by_its_place_or_its_ids(recording, wanted, number):
    (one,) = lines(report(recording, "--format", "jsonl", "--request", wanted))
    assert int(one["request_id"], 16) == number
    shown = report(recording, "--request", wanted)
    assert shown.returncode == 0
    assert f"{number:016x}" in shown.stdout


def test_only_the_requests_of_a_route_are_told(recording):
    found = lines(report(recording, "--format", "jsonl", "--route", "test/"))
    assert [int(one["request_id"], 16) for one in found] == [1, 2, 3]
    (slowest,) = lines(
        report(recording, "--format", "jsonl", "--route", "test/", "--request", "slowest")
    )
    assert slowest["route"] == "test/"


@pytest.mark.parametrize("form", FORMATS)
def test_an_unknown_route_or_request_is_exit_2_in_every_format(recording, form, tmp_path):
    output = ["--output", tmp_path / "out"] if form == "html" else []
    for question in (["--request", "nonsense"], ["--request", "0" * 16], ["--request", ""]):
        refused(report(recording, "--format", form, *question, *output), "request")
    for question in (["--route", "nowhere/"], ["--route", ""]):
        refused(report(recording, "--format", form, *question, *output), "no requests", "route")


@pytest.mark.parametrize("form", FORMATS)
def test_a_recording_without_requests(tmp_path, form):
    empty = write(tmp_path / "empty.tracer", lengths=())
    if form == "jsonl":
        assert lines(report(empty, "--format", form)) == []
    else:
        refused(report(empty, "--format", form), "no requests")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["missing", "empty", "text", "directory", "truncated", "database"])
def test_what_is_no_whole_recording_is_one_line_and_exit_2(recording, tmp_path, form, kind):
    path = tmp_path / "site.tracer"
    if kind == "directory":
        path.mkdir()
    elif kind == "truncated":
        path.write_bytes(recording.read_bytes()[:-5_000])
    elif kind == "database":
        path.write_bytes(recording.read_bytes().replace(b"trac", b"else"))
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "hello\n" * 100)
    refused(report(path, "--format", form), str(path))


@pytest.mark.parametrize(
    "arguments", [[], ["--nonsense", "x"], ["x", "--format", "xml"], ["x", "y"]]
)
def test_bad_options_are_one_line_and_exit_2(arguments):
    refused(report(*arguments))


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_reader_that_stops_reading_gets_no_traceback(tmp_path, form):
    many = write(tmp_path / "many.tracer", lengths=range(100, 600))
    command = [sys.executable, "-m", "tracer", "report", many, "--format", form]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=ROOT
    ) as process:
        process.stdout.read(10)
        process.stdout.close()
        told = process.stderr.read()
    assert told == b""
    assert process.returncode in (0, 1, 141, -13)


def test_output_that_cannot_be_written_is_exit_2(recording, tmp_path):
    for form in FORMATS:
        target = tmp_path / "missing" / "out"
        refused(report(recording, "--format", form, "--output", target), str(target))


@pytest.mark.parametrize("form", FORMATS)
def test_output_goes_where_it_is_asked_to(recording, tmp_path, form):
    target = tmp_path / "out"
    done = report(recording, "--format", form, "--output", target)
    assert (done.returncode, done.stdout) == (0, "")
    assert target.stat().st_size > 100


@pytest.mark.parametrize("lengths", [(300,), range(100, 10_100)], ids=["one", "many"])
def test_a_page_is_small_and_its_figures_are_those_of_the_json(tmp_path, lengths):
    path = write(tmp_path / "site.tracer", lengths=lengths)
    done = report(path, "--format", "html", "--route", "test/" if len(lengths) > 1 else "slow/")
    assert (done.returncode, done.stdout) == (0, "")
    page = Path(done.stderr.strip())
    assert page == tmp_path / "site.tracer.html"
    assert page.stat().st_size < 1_500_000
    (view,) = data_in(page)["views"]
    told = report(
        path,
        "--format",
        "json",
        "--route",
        view["document"]["configurations"][0]["routes"][0]["route"],
    )
    assert view["document"] == json.loads(told.stdout)
    (side,) = view["sides"]
    assert sum(side["points"]["requests"]) == view["document"]["configurations"][0]["requests"]
    wanted = {one["request_id"]: one for one in side["requests"]}[side["picked"]["slowest"]]
    (line,) = lines(report(path, "--format", "jsonl", "--request", wanted["request_id"]))
    assert {
        name: wanted[name] for name in ("start_ns", "end_ns", "layers", "route", "trace_id")
    } == {name: line[name] for name in ("start_ns", "end_ns", "layers", "route", "trace_id")}


def test_a_page_opens_with_the_request_that_was_asked_for(recording, tmp_path):
    output = tmp_path / "one.html"
    report(recording, "--format", "html", "--request", f"{2:016x}", "--output", output)
    (side,) = data_in(output)["views"][0]["sides"]
    assert next(iter(side["picked"].items())) == ("wanted", f"{2:016x}")


@pytest.mark.parametrize("form", ["json", "jsonl", "text", "html"])
def test_an_output_that_is_the_recording_itself_is_not_destroyed(tmp_path, form):
    path = write(tmp_path / "site.tracer")
    before = path.read_bytes()
    done = report(path, "--format", form, "--output", path)
    assert done.returncode == 2
    assert path.read_bytes() == before


def test_names_of_any_letters_are_printed_under_any_locale(tmp_path):
    odd = [*NAMES[:4], "bücher/\u2192\udcff".encode("utf-8", "replace").decode(), *NAMES[5:]]
    path = write(tmp_path / "odd.tracer", names=odd)
    for form in ("text", "json", "jsonl"):
        env = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        done = report(path, "--format", form, env=env)
        assert done.returncode == 0, done.stderr


def test_without_a_terminal_there_is_no_colour_and_no_more_than_100_columns(recording):
    done = report(recording)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "shop.view" in done.stdout


@pytest.mark.parametrize("colour", [True, False])
def test_no_color_is_honoured_on_a_terminal(recording, colour):
    import pty

    master, terminal = pty.openpty()
    env = environment(TERM="xterm-256color", COLUMNS="100")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        env.pop(name, None)
    if not colour:
        env["NO_COLOR"] = "1"
    command = [sys.executable, "-m", "tracer", "report", recording]
    done = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=env, cwd=ROOT)
    os.close(terminal)
    told = b""
    try:
        while data := os.read(master, 65536):
            told += data
    except OSError:
        pass
    os.close(master)
    assert done.wait(20) == 0
    assert (b"\x1b[3" in told or b"\x1b[9" in told) is colour
