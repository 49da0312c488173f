"""Which thread ran what, told by the kernel's own numbers: also in a forked child."""

from __future__ import annotations

import os
import threading

import pytest

from tracer.model.marks import Log
from tracer.model.native import native
from tracer.model.timeline import RUN_ON, Timeline

pytestmark = pytest.mark.skipif(native is None, reason="Python asks `threading` each time")


def told() -> int:
    """Hand something over on this thread; return the thread's number as it was marked."""
    timeline = Timeline(1, 0, 0, 0)
    native.run_handoff(None, Log(), 1 << 60, timeline, 1, int)
    (number,) = [value for code, _, _, value in timeline.marks() if code == RUN_ON]
    return number


def test_each_thread_has_its_own():
    numbers = {"main": told()}
    thread = threading.Thread(target=lambda: numbers.update(other=(told(), thread.native_id)))
    thread.start()
    thread.join()
    assert numbers["main"] == threading.get_native_id()
    assert numbers["other"] == (thread.native_id, thread.native_id)
    assert thread.native_id != numbers["main"]


def test_a_forked_child_asks_anew():
    before = told()
    pid = os.fork()
    if not pid:
        os._exit(0 if told() == os.getpid() != before else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert told() == before
