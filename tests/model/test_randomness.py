from __future__ import annotations

import os
import random

from tracer.model.randomness import random_bits
from tracer.recording.memory import MemorySink
from tracer.runtime.recorder import Recorder
from tracer.settings.sampling import Policy


def served(recorder):
    timeline = recorder.open("wsgi", "gunicorn.sync", 1, "/", dict)
    if timeline is not None:
        recorder.close(timeline)


def test_an_application_that_seeds_its_random_numbers_gets_those_numbers():
    random.seed(42)
    expected = [random.random() for _ in range(50)]
    recorders = [Recorder(MemorySink()), Recorder(MemorySink(), policy=Policy(rate=0.5))]
    random.seed(42)
    found = []
    for _ in range(50):
        for recorder in recorders:
            served(recorder)
        found.append(random.random())
    assert found == expected


def test_workers_that_seed_alike_draw_different_bits():
    drawn = []
    for _ in range(8):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            random.seed(42)
            os.write(writing, random_bits(128).to_bytes(16, "big"))
            os._exit(0)
        os.waitpid(pid, 0)
        drawn.append(os.read(reading, 16))
        os.close(reading)
        os.close(writing)
    assert len(set(drawn)) == 8
