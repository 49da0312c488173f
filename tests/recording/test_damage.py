from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3

import pytest

from tests.recording.recordings import frame_of, ids
from tracer.model import frames
from tracer.recording.reader import Recording, RecordingError, RecordingWriter


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
        "UPDATE worker SET id = 99",
        "UPDATE worker SET counters = '[]'",
        "UPDATE batch SET pack = 'text'",
        "UPDATE batch SET pack = zeroblob(50)",
        "UPDATE batch SET pack = (SELECT value FROM tally)",
        "UPDATE tally SET value = 'text'",
        "UPDATE tally SET key = '[1]'",
        "UPDATE request SET duration_ns = 'long'",
        "UPDATE meta SET value = '-5' WHERE key = 'tallied'",
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
        assert recording.request("slowest") is not None
        assert sum(one.requests for one in recording.tallies()[0].values()) in (0, 3, 6)
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
