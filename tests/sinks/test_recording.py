from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3

import pytest

from tests.analysis.timelines import check_tiling
from tracer import frames
from tracer.analysis.request import Client
from tracer.sinks.recording import Recording, RecordingError, RecordingWriter
from tracer.timeline import DONE, LAST, ROOT, STEP, Timeline

NAMES = ["uvicorn", "asgi", "GET", "test/", "complete"]
DESCRIPTION = {
    "pid": 7,
    "boot_id": "boot",
    "wall_offset_ns": 5,
    "seams": [
        {"seam": "a:b", "status": "installed", "reason": None},
        {"seam": "c:d", "status": "refused", "reason": "odd"},
    ],
    "environment": {"python": "3.12.1"},
}


def frame_of(number, start_ns=1_000, length_ns=500):
    timeline = Timeline(number, start_ns, 1, 2)
    timeline.method, timeline.route, timeline.outcome, timeline.status = 3, 4, 5, 200
    end = start_ns + length_ns
    for mark in ((STEP, start_ns, 1, ROOT), (LAST, end, 1, 0), (DONE, end + 10, 1, ROOT)):
        timeline.append(mark)
    return frames.encode_timeline(timeline, timeline.finish(), end + 20, (number, number, None))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "site.tracer"


@pytest.fixture
def write(path):
    writers = []

    def start(count=3, *, close=True):
        writer = RecordingWriter(path, {"command": "serve"})
        writers.append(writer)
        writer.begin()
        writer.worker("7-0.ring", DESCRIPTION, 2)
        writer.names("7-0.ring", NAMES)
        for number in range(1, count + 1):
            writer.frame("7-0.ring", frames.TIMELINE, frame_of(number))
        writer.commit()
        if close:
            writer.close()
        return writer

    yield start
    for writer in writers:
        writer._database.close()


def ids(path):
    with Recording(path) as recording:
        found = list(recording.requests())
    for request in found:
        check_tiling(request)
    return [int(request.request_id, 16) for request in found]


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


def refusal(path):
    with pytest.raises(RecordingError) as caught, Recording(path) as recording:
        list(recording.requests())
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def read_or_refused(path):
    """Return the ids in it, none where it is refused in one line."""
    try:
        return ids(path)
    except RecordingError as error:
        if "\n" in str(error):
            raise
        return []


def test_the_main_file_copied_while_it_is_written_is_called_torn(write, path, tmp_path):
    write(count=500, close=False)
    shutil.copy(path, tmp_path / "copy")
    for _ in range(2):
        assert "torn copy" in refusal(tmp_path / "copy")
    assert not (tmp_path / "copy-wal").exists()


def test_the_first_pages_copied_before_anything_was_folded_in_are_called_torn(path, tmp_path):
    writer = RecordingWriter(path, {})
    shutil.copy(path, tmp_path / "copy")
    writer.close()
    assert "torn" in refusal(tmp_path / "copy")


def test_main_file_and_log_of_different_moments_do_not_pass_for_whole(write, path, tmp_path):
    """A copy of both that another process wrote in between: all it gives is a whole batch."""
    writer = write(close=False)
    shutil.copy(f"{path}-wal", tmp_path / "copy-wal")
    for number in range(4, 400):
        writer.begin()
        writer.frame("7-0.ring", frames.TIMELINE, frame_of(number))
        writer.commit()
    writer._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, tmp_path / "copy")
    found = read_or_refused(tmp_path / "copy")
    assert found == list(range(1, len(found) + 1))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_copy_is_refused_in_one_line(write, path, share):
    write(count=300)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refusal(path)


def test_a_damaged_recording_is_refused_in_one_line_or_read(write, path):
    write(count=300)
    content = path.read_bytes()
    places = random.Random(5)
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(places.randrange(1, 200)):
            damaged[places.choice((places.randrange(200), places.randrange(len(content))))] = (
                places.randrange(256)
            )
        path.write_bytes(damaged)
        read_or_refused(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM meta",
        "UPDATE meta SET value = 'no json'",
        "UPDATE worker SET description = 'no json'",
        "UPDATE worker SET description = '[]'",
        "UPDATE worker SET description = '{\"seams\": 3}'",
        "UPDATE worker SET dropped = 'many'",
        "UPDATE timeline SET worker = 99",
        "UPDATE timeline SET frame = 'text'",
        "UPDATE timeline SET frame = zeroblob(50)",
        "DROP TABLE occupancy",
        "UPDATE name SET text = 5",
    ],
)
def test_a_recording_whose_tables_lie_is_refused_in_one_line_or_read(write, path, statement):
    write()
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    read_or_refused(path)
    with contextlib.suppress(RecordingError), Recording(path) as recording:
        assert recording.count() == 3
        assert recording.environment == {} or recording.environment["python"]
        assert isinstance(recording.seams, tuple)
        assert isinstance(recording.dropped, int)


def test_a_recording_of_a_newer_format_is_refused(write, path):
    write()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    assert "newer" in refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"hello", "not a recording"), (b"\0" * 5_000, "not a recording")],
)
def test_what_is_no_recording_is_refused(path, content, said):
    path.write_bytes(content)
    assert said in refusal(path)


def test_another_programs_database_is_refused(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE meta (key, value)")
    database.close()
    assert "not a recording" in refusal(path)


def test_missing_files_directories_and_unreadable_names_are_refused(tmp_path):
    assert "no such recording" in refusal(tmp_path / "missing")
    refusal(tmp_path)
    refusal(tmp_path / ("x" * 300))


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
    writer.frame("7-0.ring", frames.OCCUPANCY, frames.encode_occupancy(busy))
    writer.commit()
    writer.close()
    assert ids(path) == [1]
