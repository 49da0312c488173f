"""One request that leaves tens of thousands of marks: exact, and no burden on its worker."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest

from tests.starting.runs import StartedRun
from tests.support.invariants import assert_tiles
from tests.support.server import SERVERS, agents_of, requests_in, wait_for
from tracer.model import frames
from tracer.model.marks import MARK_LIMIT
from tracer.recording.reader import Recording

CHUNKS, SPIN_NS = 40_000, 20_000
LONG = f"/stream/sync/?chunks={CHUNKS}&bytes=1&ms={SPIN_NS / 1e6}"
QUERIES = "/queries/10000/"
ROUTES = {QUERIES: "queries/<int:n>/", LONG: "stream/sync/"}
GROWTH_KB = 24 * 1024
"""For marks, their packed frame and the ring's pages; a peak, not a leak."""


def peak_kb(pid):
    """Return the most memory that a process had resident so far."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def serve(tmp_path, name, *paths):
    """Serve them traced; return the peaks of the worker's memory, the first after a short one."""
    with StartedRun(tmp_path, ("python", "-m", *SERVERS[name])) as run:
        run.ask(1, "/sleep/?ms=0")
        worker = run.workers()[0] if name.startswith("gunicorn") else run.pid
        peaks = [peak_kb(worker)]
        for path in paths:
            status, body = run.server.ask(path)
            assert status == 200
            assert path != LONG or body == b"." * CHUNKS
            time.sleep(0.3)
            peaks.append(peak_kb(worker))
        run.server.stop()
        assert wait_for(lambda: not agents_of(run.recording), 30)
    return run.recording, peaks


def kept_marks(recording):
    """Return how many marks each request kept, by how many it folded."""
    with Recording(recording) as opened:
        assert opened.dropped == 0
        return {
            frames.decode_head(head).folded: int(after - before)
            for _, found in opened._timelines(0)
            for head, (before, after) in zip(
                found.heads, itertools.pairwise(found.bounds), strict=True
            )
        }


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        pytest.param("gunicorn-sync", (QUERIES, LONG), marks=pytest.mark.slow),
        ("uvicorn-h11-asyncio", (LONG,)),
    ],
)
def test_a_very_long_request_is_recorded_exactly(tmp_path, name, paths):
    recording, peaks = serve(tmp_path, name, *paths)
    for before, after in itertools.pairwise(peaks):
        assert after - before < GROWTH_KB
    found = {request["route"]: request for request in requests_in(recording)}
    kept = kept_marks(recording)
    assert len(found) == len(kept) == 1 + len(paths)
    for path in paths:
        long = found[ROUTES[path]]
        assert_tiles(long)
        assert len(long["segments"]) > 10_000
        assert long["folded"] > 0
        assert MARK_LIMIT <= kept[long["folded"]] < 1.1 * MARK_LIMIT
    # Most of the pulls were folded: their time is the view's all the same.
    assert found[ROUTES[LONG]]["layers"]["view"] > CHUNKS * SPIN_NS
