"""Descriptors, memory and workers run out: the server goes on, and what is lost is counted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import time

import pytest

from tests.chaos.harm import CONCURRENCY, Chaos, assert_unharmed
from tests.support.server import GUNICORN, UVICORN, wait_for

# Latencies under harm are compared with those without: nobody else may add to them.
pytestmark = pytest.mark.alone

WARM = 10
"""So many requests are the first in their worker, or come beside those."""

BOOTS_S = 2
"""A worker makes its ring before it imports the site; until then it answers nobody."""


@pytest.mark.slow
def test_worker_killed(tmp_path):
    command = (*GUNICORN, "--workers", "2", "demo_site.wsgi")
    with Chaos(tmp_path, command) as chaos:
        assert chaos.ask(50) == 0

        def kill():
            (first, second) = (int(path.name.split("-")[0]) for path in chaos.rings())
            os.kill(first, signal.SIGKILL)
            assert wait_for(lambda: len(chaos.rings()) == 2 and not _runs(first))
            time.sleep(BOOTS_S)
            os.kill(second, signal.SIGKILL)

        wrong = chaos.under(kill, 300)
        assert wrong <= 2 * CONCURRENCY, "what a killed worker held, the kernel reset"
        assert wait_for(lambda: len(chaos.rings()) == 2)
        assert chaos.ask(50) == 0
        recorded, dropped = chaos.end()
        assert dropped == 0
        assert chaos.answered - 2 <= recorded <= chaos.answered + wrong


def _runs(pid):
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return True
    return False


def test_descriptors_used_up(tmp_path):
    """The worker's ring can't be made until the application lets go of some."""
    words = (*UVICORN, "tests.chaos.site.hog:application", "--http", "h11")
    with Chaos(tmp_path, words, HOG_REQUESTS="40") as chaos:
        # One connection: a second could not be accepted, traced or not.
        assert chaos.ask(60, concurrency=1) == 0
        meanwhile = chaos.latencies[WARM:]
        assert wait_for(lambda: chaos.ask(5, concurrency=1) == 0 and chaos.rings(), 20)
        assert_unharmed(meanwhile, chaos.latencies)
        recorded, dropped = chaos.end()
        assert recorded + dropped == chaos.answered
        assert dropped >= 39


@pytest.fixture
def small(tmp_path):
    """A file system of one MiB; it is made larger by `remount`."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = [shutil.which("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run([shutil.which("umount"), "-l", folder], check=True)


@pytest.mark.slow
def test_shared_memory_full(tmp_path, small):
    with Chaos(tmp_path, "uvicorn-httptools-uvloop", home=small) as chaos:
        assert chaos.ask(100) == 0
        without = chaos.latencies[WARM:]
        assert chaos.rings() == []
        subprocess.run([shutil.which("mount"), "-o", "remount,size=32m", small], check=True)
        time.sleep(1.1)
        assert chaos.ask(100) == 0
        assert len(chaos.rings()) == 1
        assert_unharmed(without, chaos.latencies)
        filling = (small / "filling").open("wb")
        with filling, contextlib.suppress(OSError):
            while True:
                filling.write(b"x" * 100_000)
        before = chaos.settled()
        assert chaos.ask(100) == 0
        assert sum(chaos.settled()) - sum(before) == 100, "what was allocated stays"
        assert_unharmed(chaos.latencies, without)
        (small / "filling").unlink()
        recorded, dropped = chaos.end()
        assert recorded + dropped == chaos.answered == 300
        assert dropped >= 100


def test_disk_of_the_recording_full(tmp_path, small):
    """What doesn't fit waits in the ring, then is dropped; with room again it goes on."""
    words = (*GUNICORN, "demo_site.wsgi")
    with Chaos(tmp_path, words, 64 * 1024, recording=small / "site.tracer") as chaos:
        assert chaos.ask(20) == 0
        chaos.settled()

        def fill():
            filling = (small / "filling").open("wb", buffering=0)
            with filling, contextlib.suppress(OSError):
                while True:
                    filling.write(b"x" * 4096)
            assert wait_for(lambda: any(one.dropped for one in chaos.counters().values()))
            subprocess.run([shutil.which("mount"), "-o", "remount,size=32m", small], check=True)

        assert chaos.under(fill, 400) == 0
        recorded, dropped = chaos.settled()
        assert recorded + dropped == chaos.answered
        assert dropped > 0
        assert chaos.ask(8) == 0, "so few fit into the ring, however late the agent looks"
        assert chaos.settled() == (recorded + 8, dropped)
        chaos.end()


@pytest.mark.slow
def test_a_thread_in_the_worker_that_keeps_the_gil(tmp_path):
    """It makes requests slow, with us or without; none is wrong, and all are recorded."""
    words = (*UVICORN, "tests.chaos.site.busy:application")
    busy = tmp_path / "busy"
    busy.touch()
    with Chaos(tmp_path, words, BUSY_WHILE=str(busy)) as chaos:
        assert chaos.ask(12) == 0
        slow = chaos.latencies
        busy.unlink()
        assert chaos.ask(40) == 0
        slower = statistics.median(slow) / statistics.median(chaos.latencies)
        assert slower > 2, "it did keep the GIL"
        assert chaos.end() == (chaos.answered, 0)
