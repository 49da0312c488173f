from __future__ import annotations

import shutil
import subprocess
import sys
from array import array

import pytest

from tests.recording.recordings import frame_of, ids
from tests.support.timelines import check_tiling
from tracer.analysis.attribution.request import Client
from tracer.model import frames
from tracer.recording.file import has_log
from tracer.recording.reader import Recording, RecordingError, RecordingWriter


def test_what_was_written_is_read_with_all_it_takes(write, path):
    write()
    with Recording(path) as recording:
        first, *_ = recording.requests()
        assert (recording.count(), recording.dropped, recording.open) == (3, 2, False)
        assert recording.meta["command"] == "serve"
        assert recording.environment == {"python": "3.12.1"}
        assert [(s.seam, s.status) for s in recording.seams] == [
            ("a:b", "installed"),
            ("c:d", "refused"),
        ]
    assert (first.method, first.route, first.server, first.pid) == ("GET", "test/", "uvicorn", 7)
    assert first.start_unix_ns == first.start_ns + 5
    assert first.seams_absent == ("c:d",)


def test_it_is_read_in_place_while_it_is_written(write, path):
    writer = write(close=False)
    assert ids(path) == [1, 2, 3]
    writer.begin()
    writer.frame("7-0.ring", frames.TIMELINE, frame_of(4))
    assert ids(path) == [1, 2, 3], "a batch is read when it is whole"
    writer.commit()
    assert ids(path) == [1, 2, 3, 4]
    with Recording(path) as recording:
        assert recording.open


ENDING = r"""
import sys, time
from pathlib import Path
from tracer.recording.lifecycle import take_up
with take_up(Path(sys.argv[1])) as database:
    database.execute("UPDATE meta SET value = '\"open\"' WHERE key = 'state'")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print("folded in", flush=True)
    time.sleep(0.3)
    database.execute("UPDATE meta SET value = '\"closed\"' WHERE key = 'state'")
    time.sleep(0.1)
"""


def test_it_is_read_while_its_writer_folds_the_log_in(write, path):
    write()
    with subprocess.Popen([sys.executable, "-c", ENDING, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline()
        assert not has_log(path)
        assert ids(path) == [1, 2, 3]


def test_reading_does_not_hinder_writing(write, path):
    writer = write(close=False)
    with Recording(path) as recording:
        stream = recording.requests()
        next(stream)
        writer.begin()
        writer.frame("7-0.ring", frames.TIMELINE, frame_of(4))
        writer.commit()
        assert len(list(stream)) == 2


def test_after_its_writer_was_killed_it_is_read_in_place(write, path):
    writer = write(close=False)
    beside = path.parent / "killed"
    beside.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{beside / path.name}{suffix}")
    writer.close()
    assert ids(beside / path.name) == [1, 2, 3]


def test_after_a_clean_end_it_is_one_file_that_reads_anywhere(write, path, tmp_path):
    write()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    elsewhere = tmp_path / "else where?%#"
    elsewhere.mkdir()
    copied = elsewhere / "copy #1?.tracer"
    shutil.copy(path, copied)
    path.unlink()
    copied.chmod(0o400)
    assert ids(copied) == [1, 2, 3]


def test_only_its_owner_may_read_it(write, path):
    write(close=False)
    assert {entry.stat().st_mode & 0o077 for entry in path.parent.iterdir()} == {0}


def test_only_a_recording_is_replaced_by_a_new_one(write, path):
    write(count=3)
    write(count=1)
    assert ids(path) == [1]


@pytest.mark.parametrize("content", [b"precious", b"SQLite format 3\0" + b"\0" * 100])
def test_a_foreign_file_is_never_replaced(path, content):
    path.write_bytes(content)
    with pytest.raises(RecordingError):
        RecordingWriter(path, {})
    assert path.read_bytes() == content


def test_an_empty_file_is_taken(write, path):
    path.touch()
    write()
    assert ids(path) == [1, 2, 3]


def test_with_clients_only_their_own_requests_are_given_on_their_clock(write, path):
    write()
    clients = {f"{2:032x}": Client(900, 1_600, 1_700)}
    with Recording(path) as recording:
        found = list(recording.requests(clients, network_floor_ns=50))
    (request,) = found
    assert (request.window, request.trace_id) == ("client", f"{2:032x}")
    check_tiling(request)


def test_occupancy_reaches_the_requests_it_overlaps(write, path):
    writer = write(count=0, close=False)
    writer.begin()
    writer.frame("7-0.ring", frames.TIMELINE, frame_of(1, 1_000, 500))
    busy = [n for start in range(0, 5_000, 2) for n in (start, start + 1, 1, 0, 1)]
    writer.frame("7-0.ring", frames.OCCUPANCY, array("q", busy).tobytes())
    writer.commit()
    writer.close()
    assert ids(path) == [1]
