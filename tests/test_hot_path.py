"""A request of which nothing has to be found out runs as good as no Python of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracer.accelerator import native

pytestmark = pytest.mark.skipif(native is None, reason="no accelerator")

PROGRAM = """
import json, pathlib, sys, threading
import tracer
from tracer.ring import RingWriter
tracer.install(RingWriter(pathlib.Path(sys.argv[2])))
from benchmarks.hosts import HOSTS
host = HOSTS[sys.argv[1]]()
for _ in range(30):
    host.request()
folder, called = str(pathlib.Path(tracer.__file__).parent), {}
def profile(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(folder):
        called[code.co_qualname] = called.get(code.co_qualname, 0) + 1
threading.setprofile_all_threads(profile) if hasattr(threading, "setprofile_all_threads") else (
    threading.setprofile(profile), sys.setprofile(profile))
for _ in range(20):
    host.request()
sys.setprofile(None)
print(json.dumps(called))
"""

RARE = {"_watch_gc.<locals>.collecting"}
"""What comes with the garbage collector, not with requests."""

TASKS = {
    *("create_task.<locals>.create_task", "call_at.<locals>.call_at", "_mark_timer", "is_followed"),
    *("call_soon_threadsafe.<locals>.bridged", "_thread_start.<locals>.start", "follow_task"),
    *("Recorder.occupy", "Recorder._log_slowly", "Recorder.culprit", "Culprits.of"),
    *("Culprits._detail_of", "Culprits._after_response_of", "Culprits._text"),
    "Culprits._text.<locals>.<genexpr>",
    *("log", "_log", "attempt", "name_of_callback", "describe"),
}
"""What tasks, timers and threads are followed with, and turns of the loop that took long."""


def called(interface, tmp_path):
    root = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "demo_site.settings",
        "PYTHONPATH": str(root),
    }
    command = [sys.executable, "-c", PROGRAM, interface, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_under_wsgi_it_runs_none(tmp_path):
    assert set(called("wsgi", tmp_path)) <= RARE


def test_under_asgi_it_runs_what_follows_tasks_only(tmp_path):
    found = called("asgi", tmp_path)
    assert "create_task.<locals>.create_task" in found, "nothing was seen"
    assert set(found) - RARE <= TASKS
