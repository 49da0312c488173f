"""Small recordings for tests."""

from __future__ import annotations

from tests.support.timelines import check_tiling
from tracer.model import frames
from tracer.model.timeline import DONE, LAST, ROOT, STEP, Timeline
from tracer.recording.reader import Recording

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


def ids(path):
    with Recording(path) as recording:
        found = list(recording.requests())
    for request in found:
        check_tiling(request)
    return [int(request.request_id, 16) for request in found]
