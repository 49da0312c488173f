from __future__ import annotations

import pytest

from tests.recording.recordings import DESCRIPTION, NAMES, frame_of
from tracer.model import frames
from tracer.recording.reader import RecordingWriter


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
