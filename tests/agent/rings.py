"""Workers without a server: rings with timelines in them, and what became of those."""

from __future__ import annotations

import os
import signal
import sqlite3
import textwrap

from tests.support.server import agents_of, guardians_of, wait_for
from tracer.model import frames
from tracer.model.timeline import DONE, LAST, ROOT, STEP, Timeline
from tracer.recording.mark_reader import timelines
from tracer.recording.reader import Recording, RecordingError
from tracer.ring.writer import RingWriter

WORKER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from tests.agent.rings import send, writer_in
    writer = writer_in(Path(sys.argv[1]), int(sys.argv[3]))
    send(writer, int(sys.argv[2]))
    print("sent", flush=True)
    sys.stdin.read()
""")


def sent_by(writer):
    """How many timelines a writer has sent."""
    ring = writer._ring
    return writer._sent if ring is None else ring.sent


def writer_in(directory, capacity=1 << 20, **options):
    writer = RingWriter(directory, capacity, **options)
    writer.describe({"pid": os.getpid()})
    return writer


def send(writer, count=1, first=1):
    """Send timelines whose sequence is their number."""
    for number in range(first, first + count):
        timeline = Timeline(number, 1_000, 0, 1)
        for mark in ((STEP, 1_000, 1, ROOT), (LAST, 1_500, 1, 0), (DONE, 1_600, 1, 0)):
            timeline.append(mark)
        frame = frames.encode_timeline(timeline, timeline.finish(), 1_700, (number, 1, None))
        writer.write([(frames.TIMELINE, frame)], ["wsgi"] if number == 1 else [])


def recorded(path):
    """Return the sequences of all recorded timelines, and how many are said to be dropped."""
    with Recording(path) as recording:
        packs = [found for _, found in timelines(recording._database)]
        sequences = [frames.decode_head(head).sequence for pack in packs for head in pack.heads]
        return sequences, recording.dropped


def kill_agent(path, *, guardian=False):
    """Kill the agent and wait until it is gone or there is another one; return its pid."""
    assert wait_for(lambda: agents_of(path))
    if guardian:
        kill(guardians_of(path))
    (pid,) = agents_of(path)
    kill([pid])
    assert wait_for(lambda: pid not in agents_of(path))
    return pid


def is_recorded(path, count):
    """Whether so many timelines are recorded or counted as dropped; there may be no file yet."""
    try:
        found, dropped = recorded(path)
    except RecordingError:
        return False
    return len(found) + dropped == count


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def is_whole(path):
    with sqlite3.connect(path) as database:
        return database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
