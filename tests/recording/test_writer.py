from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.recording.recordings import DESCRIPTION, NAMES, frame_of, ids
from tests.support.server import ROOT, environment
from tracer.analysis.shapes.tally_builder import VERSION
from tracer.model import frames
from tracer.recording import background as concluding
from tracer.recording.reader import Recording, RecordingWriter, Rotation

RING = "7-0.ring"


def begun(path, rotation=None, **options):
    writer = RecordingWriter(path, {"command": "serve"}, rotation, **options)
    writer.worker(RING, DESCRIPTION, 2, {"seen": 10, "kept": 3})
    writer.names(RING, NAMES)
    return writer


def give(writer, *numbers):
    writer.begin()
    for number in numbers:
        writer.frame(RING, frames.TIMELINE, frame_of(number, 1_000 * number, 500 + number))
    writer.commit()


def tallied(path):
    with Recording(path) as recording:
        tallies, rest = recording.tallies()
        return sum(one.requests for one in tallies.values()), rest


@pytest.mark.parametrize("each", [1, 50, 128, 300])
def test_packed_or_apart_every_request_is_read_once_and_in_order(path, each):
    writer = begun(path)
    for first in range(1, 700, each):
        give(writer, *range(first, min(first + each, 700)))
        writer.conclude(0.01)
    assert ids(path) == list(range(1, 700))
    assert tallied(path)[0] == 699
    with Recording(path) as recording:
        some = recording.requests(after=300, until=302)
        assert [int(request.request_id, 16) for request in some] == [301, 302]
        assert recording.count() == 699
    writer.close()
    assert ids(path) == list(range(1, 700))
    assert tallied(path) == (699, 0)


def test_what_is_not_concluded_is_concluded_by_who_reads(path):
    writer = begun(path)
    give(writer, *range(1, 301))
    assert writer.lag == 300
    assert tallied(path) == (300, 300)
    writer.conclude(5)
    assert writer.lag == 300, "the newest batch waits for the occupancy of its time"
    give(writer, *range(301, 701))
    writer.conclude(5)
    assert writer.lag < 700
    writer.close()
    assert tallied(path) == (700, 0)


def test_conclusions_are_the_same_whoever_draws_them(path, tmp_path):
    for name, conclude in (("one", True), ("other", False)):
        writer = begun(tmp_path / name, conclude=conclude)
        give(writer, *range(1, 301))
        writer.close()
    assert tallied(tmp_path / "one") == (300, 0)
    assert tallied(tmp_path / "other") == (300, 300)
    read = []
    for name in ("one", "other"):
        with Recording(tmp_path / name) as recording:
            (tally,) = recording.tallies()[0].values()
            read.append([list(tally.latency.pairs()), tally.details, tally.statuses])
    assert read[0] == read[1]


def test_one_request_is_found_among_concluded_ones_and_others(path):
    writer = begun(path)
    give(writer, *range(1, 301))
    writer.conclude(5)
    for asked, number in (("slowest", 300), (f"{7:016x}", 7), (f"{290:032x}", 290)):
        with Recording(path) as recording:
            assert int(recording.request(asked).request_id, 16) == number
    writer.close()
    for asked, number in (("slowest", 300), (f"{7:016x}", 7), (f"{290:032x}", 290)):
        with Recording(path) as recording:
            assert int(recording.request(asked).request_id, 16) == number
            assert recording.request("f" * 16) is None
            assert recording.request("slowest", route="other/") is None


def test_counters_are_kept_and_drops_counted(path):
    writer = begun(path)
    writer.worker(RING, DESCRIPTION, 5, {"seen": 20, "kept": 4})
    give(writer, 1)
    writer.close()
    with Recording(path) as recording:
        assert recording.counters == {"seen": 20, "kept": 4, "dropped": 5}
        assert recording.dropped == 5


def test_attribution_is_redone_on_demand(path):
    writer = begun(path)
    give(writer, *range(1, 201))
    writer.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '0' WHERE key = 'attribution'")
        database.execute("UPDATE request SET duration_ns = 1")
        database.execute("DELETE FROM tally")
    database.close()
    with Recording(path) as recording:
        assert recording.attribution == 0
        workers = dict(recording.workers)
    assert concluding.redo(path, workers) == 200
    assert tallied(path) == (200, 0)
    with Recording(path) as recording:
        assert recording.attribution == VERSION
        assert recording.request("slowest").duration_ns == 700


def test_rotation_leaves_recordings_that_are_each_complete(path, tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.recording.writer._CHECKED_EVERY_S", 0)
    writer = begun(path, Rotation(size=14_000))
    for first in range(1, 4_000, 200):
        give(writer, *range(first, first + 200))
    writer.worker(RING, DESCRIPTION, 6, {"seen": 5_000, "kept": 4_000})
    writer.close()
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert len(names) > 2
    assert names[:2] == ["site.0001.tracer", "site.0002.tracer"]
    found, dropped, seen = [], 0, 0
    for name in names:
        found.append(ids(tmp_path / name))
        assert tallied(tmp_path / name) == (len(found[-1]), 0)
        with Recording(tmp_path / name) as recording:
            assert not recording.open
            assert recording.environment == {"python": "3.12.1"}
            dropped += recording.dropped
            seen += recording.counters["seen"]
    assert sorted(n for one in found for n in one) == list(range(1, 4_001))
    assert (dropped, seen) == (6, 5_000)


def test_rotation_by_age_waits_for_something_to_keep(path, tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.recording.writer._CHECKED_EVERY_S", 0)
    writer = begun(path, Rotation(age_s=0.05))
    time.sleep(0.06)
    writer.begin()
    assert [entry.name for entry in tmp_path.glob("*.tracer")] == [path.name]
    give(writer, 1)
    writer.begin()
    writer.close()
    assert ids(tmp_path / "site.0001.tracer") == [1]
    assert ids(path) == []


FULL_DISK = """
import json, resource, sys, time
from pathlib import Path
import tracer.recording.writer
from tests.recording.recordings import ids
from tests.recording.test_writer import begun, give
from tracer.recording.reader import Recording

tracer.recording.writer._HELD = 300_000
path = Path(sys.argv[1])
writer = begun(path)
give(writer, *range(1, 101))
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), limit[1]))
for first in range(101, 4_001, 100):
    give(writer, *range(first, first + 100))
    writer.conclude(0.01)
during = ids(path)
if sys.argv[3] == "room":
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    time.sleep(1.1)
    writer.commit()
    give(writer, *range(4_001, 4_101))
writer.close()
with Recording(path) as recording:
    lost = recording.meta.get("lost", 0)
print(json.dumps([during, ids(path), lost]))
"""


@pytest.mark.parametrize("limit", [150_000, 400_000])
@pytest.mark.parametrize("then", ["room", "none"])
def test_a_full_disk_loses_what_it_counts_and_damages_nothing(path, limit, then):
    """What doesn't fit is held as far as it may be, then lost; with room it goes on."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path, str(limit), then],
        env=environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    during, after, lost = json.loads(done.stdout.splitlines()[-1])
    assert during == list(range(1, len(during) + 1))
    assert 100 <= len(during) < 4_000
    assert sorted(set(after)) == after
    assert lost or limit > 200_000
    assert len(after) + lost == (4_100 if then == "room" else 4_000)
    assert (after[-1] == 4_100) is (then == "room")


@pytest.mark.parametrize("each", [40, 300])
def test_a_recording_is_continued_as_its_killed_writer_left_it(path, tmp_path, each):
    writer = begun(path)
    for first in range(1, 901, each):
        give(writer, *range(first, first + each))
        writer.advance(RING, (first, first, first))
        writer.commit()
        writer.conclude(0.05)
        writer._database.close()
        writer = RecordingWriter.reopen(path, {"socket": "new"})
        assert writer.known_names(RING) == len(NAMES)
        assert writer.progress(RING) == (first, first, first)
    given = first + each - 1
    writer.close()
    whole = begun(tmp_path / "whole")
    give(whole, *range(1, given + 1))
    whole.close()
    assert ids(path) == list(range(1, given + 1))
    assert tallied(path) == (given, 0)
    read = []
    for one in (path, tmp_path / "whole"):
        with Recording(one) as recording:
            (tally,) = recording.tallies()[0].values()
            read.append([list(tally.latency.pairs()), tally.details, tally.statuses])
            assert recording.counters == {"seen": 10, "kept": 3, "dropped": 2}
    assert read[0] == read[1]


def test_what_was_not_safe_is_forgotten_and_can_be_given_again(path, monkeypatch):
    writer = begun(path)
    give(writer, 1)
    writer.advance(RING, (16, 1, 1))
    assert writer.commit()
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_write", lambda: writer._database.execute("nonsense"))
        writer.frame(RING, frames.TIMELINE, frame_of(2))
        writer.advance(RING, (32, 2, 2))
        assert not writer.commit()
    writer.rollback()
    assert writer.progress(RING) == (16, 1, 1)
    writer._again = 0.0
    give(writer, 2)
    writer.close()
    assert ids(path) == [1, 2]
