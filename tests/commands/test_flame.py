"""`tracer flame` on recordings that have stacks, have none, or are no recordings."""

from __future__ import annotations

import gzip
import json

import pytest
from click.testing import CliRunner

from tests.commands.test_report import Done, write
from tests.flame.pictures import Tree, name
from tests.reports.pages import data_in
from tracer.commands import main
from tracer.model import frames, stackframes
from tracer.model.stackframes import EXACT, SAMPLED, Stacks, Stretch
from tracer.recording.file import RecordingError
from tracer.recording.reader import Recording, RecordingWriter

FORMATS = ("html", "speedscope", "perfetto", "pprof", "collapsed", "text")
VIEW = name("shop.views", "view")


def stacks_of(number, length_us, source):
    """The view's function from the first microsecond on."""
    tree, start = Tree(), number * 10_000_000
    node = tree.node(name("django.core.handlers.base", "BaseHandler._get_response"), VIEW)
    stretch = Stretch(start + 1_000, start + length_us * 1_000, 1, node)
    names, nodes = tuple(tree.names), tuple(tree.nodes)
    return Stacks(
        number, start, start + length_us * 1_000, source, 500_000, 0, 3, 900, False,
        names, nodes, (stretch,),
    )  # fmt: skip


def with_stacks(path, lengths=(300, 100, 200, 900), source=EXACT, numbers=(1, 2, 4)):
    """A recording whose requests took so many microseconds, some with stacks."""
    write(path, lengths)
    writer = RecordingWriter.reopen(path, {}, conclude=False)
    writer.begin()
    for number in numbers:
        frame = stackframes.encode(stacks_of(number, lengths[number - 1], source), 1 << 20)
        writer.frame("1-0.ring", frames.STACKS, frame)
    writer.commit()
    writer.close()
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return with_stacks(tmp_path_factory.mktemp("flame") / "site.tracer")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return write(tmp_path_factory.mktemp("flame") / "bare.tracer")


def flame(*arguments):
    return Done(CliRunner().invoke(main, ["flame", *map(str, arguments)]))


def refused(done):
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_recording_gives_back_the_stacks_it_was_given(recording):
    with Recording(recording) as opened:
        assert opened.with_stacks() == {f"{number:016x}" for number in (1, 2, 4)}
        assert opened.stacks(f"{1:016x}") == stacks_of(1, 300, EXACT)
        assert opened.stacks(f"{3:016x}") is None
        assert opened.count() == 4


def test_damaged_stacks_are_told_in_one_line(tmp_path):
    path = with_stacks(tmp_path / "site.tracer")
    content = path.read_bytes()
    with Recording(path) as opened:
        (pack,) = opened._database.execute("SELECT pack FROM stacks LIMIT 1").fetchone()
    path.write_bytes(content.replace(pack, bytes(len(pack))))
    with Recording(path) as opened, pytest.raises(RecordingError, match="damaged"):
        opened.stacks(f"{1:016x}")
    assert "damaged" in refused(flame(path))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_written(recording, tmp_path, form):
    target = tmp_path / "out"
    done = flame(recording, "--format", form, "--output", target)
    assert done.returncode == 0, done.stderr
    content = target.read_bytes()
    if form == "pprof":
        content = gzip.decompress(content)
    assert b"shop.views:view" in content


def test_where_the_page_went_is_printed(recording):
    done = flame(recording)
    assert done.stderr.strip() == f"{recording}.flame.html"


def test_lines_and_text_go_to_standard_output(recording):
    assert "shop.views:view" in flame(recording, "--format", "text").stdout
    assert "shop.views:view 298000" in flame(recording, "--format", "collapsed").stdout


@pytest.mark.parametrize(
    ("asked", "took_us"), [("slowest", 900), ("median", 300), (f"{2:016x}", 100)]
)
def test_one_request_is_chosen(recording, asked, took_us):
    done = flame(recording, "--format", "collapsed", "--request", asked)
    assert sum(int(line.rsplit(None, 1)[1]) for line in done.stdout.splitlines()) == took_us * 1_000


def test_requests_are_added_up_by_route(recording):
    done = flame(recording, "--aggregate", "--route", "test/", "--format", "speedscope",
                 "--output", "-")  # fmt: skip
    (profile,) = json.loads(done.stdout)["profiles"]
    assert sum(profile["weights"]) == 400_000


def test_few_among_many_are_found_without_looking_at_the_others(tmp_path, monkeypatch):
    path = with_stacks(tmp_path / "many.tracer", (*[100] * 60, 900), numbers=(7, 50))
    looked_at = []
    attributed = Recording._attributed

    def noting(self, *arguments):
        looked_at.append(arguments)
        return attributed(self, *arguments)

    monkeypatch.setattr(Recording, "_attributed", noting)
    done = flame(path, "--aggregate", "--format", "text")
    assert "added up over 2 requests" in done.stdout
    assert len(looked_at) == 2


def test_two_recordings_are_compared(recording, tmp_path):
    other = with_stacks(tmp_path / "other.tracer", (500, 500, 500, 900))
    done = flame(recording, "--against", other, "--route", "test/", "--format", "collapsed")
    counts = [tuple(map(int, line.split()[-2:])) for line in done.stdout.splitlines()]
    assert [sum(column) for column in zip(*counts, strict=True)] == [200_000, 500_000]


def test_a_request_too_short_for_samples_is_drawn_from_its_route(tmp_path):
    path = with_stacks(tmp_path / "thin.tracer", source=SAMPLED)
    told = flame(path, "--format", "text", "--request", f"{2:016x}").stdout
    assert "too short to be drawn from samples" in told
    assert "added up over 2 requests" in told


def test_without_stacks_it_says_how_to_get_them(bare, recording):
    assert "tracer run --flame" in refused(flame(bare))
    assert "has no stacks" in refused(flame(recording, "--request", f"{3:016x}"))
    assert "tracer run --flame" in refused(flame(recording, "--against", bare))


def test_what_is_not_there_is_named(recording, tmp_path):
    assert "no request ffffffffffffffff" in refused(flame(recording, "--request", "f" * 16))
    assert "no request nonsense" in refused(flame(recording, "--request", "nonsense"))
    assert "of route nowhere/" in refused(flame(recording, "--route", "nowhere/"))
    assert "no such recording" in refused(flame(tmp_path / "nothing"))


def test_what_does_not_go_together_is_refused(recording):
    assert "--request" in refused(flame(recording, "--request", "slowest", "--aggregate"))
    assert "one request" in refused(flame(recording, "--aggregate", "--format", "perfetto"))
    against = flame(recording, "--against", recording, "--format", "pprof")
    assert "diff_base" in refused(against)


def test_an_output_that_cannot_be_written_is_named(recording, tmp_path):
    target = tmp_path / "no" / "such" / "folder"
    assert "cannot be written" in refused(flame(recording, "--output", target))
    assert "recording itself" in refused(flame(recording, "--output", recording))


def page_of(recording, tmp_path, *arguments):
    """The first view of the report's page, and the page's size."""
    output = tmp_path / "page.html"
    given = ["report", str(recording), "--format", "html", "--output", str(output), *arguments]
    done = Done(CliRunner().invoke(main, given))
    assert done.returncode == 0, done.stderr
    return data_in(output)["views"][0], output.stat().st_size


def test_the_report_shows_each_request_with_stacks_as_it_is_broken_down(recording, tmp_path):
    view, _ = page_of(recording, tmp_path)
    alone = [one for one in view["flames"]["pictures"] if one["kind"] == "request"]
    assert {one["request_id"] for one in alone} == {f"{number:016x}" for number in (1, 2, 4)}
    with Recording(recording) as opened:
        for picture in alone:
            request = opened.request(picture["request_id"])
            spent = {layer: ns for layer, ns in request.layers.items() if ns}
            assert picture["views"][0]["layers"] == picture["views"][-1]["layers"] == spent
    picks = {one["pick"]: one["request_id"] for one in alone if one["pick"]}
    assert picks == {"median": f"{1:016x}", "slowest": f"{4:016x}"}


def test_the_report_of_a_route_or_a_request_shows_its_flames(recording, tmp_path):
    view, _ = page_of(recording, tmp_path, "--route", "test/")
    pictures = view["flames"]["pictures"]
    assert [one["title"] for one in pictures if one["kind"] == "aggregate"] == ["test/, 2 requests"]
    view, _ = page_of(recording, tmp_path, "--request", f"{2:016x}")
    first = view["flames"]["pictures"][0]
    assert (first["pick"], first["request_id"]) == ("asked for", f"{2:016x}")
    view, _ = page_of(recording, tmp_path, "--request", f"{3:016x}")
    assert view["flames"]["pictures"][0]["pick"] == "median", "it has no stacks"


def test_the_report_of_a_recording_without_stacks_says_how_to_get_them(bare, tmp_path):
    view, _ = page_of(bare, tmp_path)
    assert view["flames"]["pictures"] == []
    assert "tracer run --flame all" in view["flames"]["how"]


def test_a_report_of_many_requests_with_stacks_stays_small(tmp_path):
    lengths = [100 + number % 90 for number in range(600)]
    path = with_stacks(tmp_path / "many.tracer", (*lengths, 900), numbers=range(1, 602))
    view, size = page_of(path, tmp_path)
    assert view["flames"]["how"] == "Added up are 100 requests of the 601 that have stacks."
    alone = [one for one in view["flames"]["pictures"] if one["kind"] == "request"]
    assert {"median", "slowest"} <= {one["pick"] for one in alone}
    assert f"{601:016x}" in {one["request_id"] for one in alone}, "the slowest of all"
    assert size < 1_500_000


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--flame", "sometimes"], "--flame: "),
        (["--flame", "1/0"], "--flame: "),
        (["--flame", ""], "--flame: "),
        (["--flame", "all", "--flame-source", "guess"], "--flame-source: "),
        (["--flame", "all", "--flame-interval", "1ns"], "--flame-interval: "),
        (["--flame", "all", "--flame-budget", "much"], "--flame-budget: "),
        (["--flame-source", "exact"], "no --flame says when"),
        (["--flame", "header"], "TRACER_FLAME_SECRET: "),
    ],
)
def test_options_of_run_that_cannot_be_used_are_named(options, named, monkeypatch, tmp_path):
    monkeypatch.delenv("TRACER_FLAME_SECRET", raising=False)
    arguments = ["run", "--record", str(tmp_path / "x"), *options, "--", "true"]
    line = refused(Done(CliRunner().invoke(main, arguments)))
    assert named in line
    assert not (tmp_path / "x").exists()
