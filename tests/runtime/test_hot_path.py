"""Python of ours runs only where a request begins and ends, and the interpreter runs the rest as
quickly as it has learnt to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracer.agent.session import open_session
from tracer.model.native import native

pytestmark = pytest.mark.skipif(native is None, reason="no accelerator")

PROGRAM = """
import json, pathlib, sys, threading
import tracer
tracer.install()
from benchmarks.hosts import HOSTS
host = HOSTS[sys.argv[1]]()
for _ in range(30):
    host.request()
package, called = pathlib.Path(tracer.__file__).parent, {}
folders = (str(package), str(package.resolve()))
def profile(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(folders):
        called[code.co_qualname] = called.get(code.co_qualname, 0) + 1
threading.setprofile_all_threads(profile) if hasattr(threading, "setprofile_all_threads") else (
    threading.setprofile(profile), sys.setprofile(profile))
for _ in range(int(sys.argv[2])):
    host.request()
sys.setprofile(None)
print(json.dumps(called))
"""

REQUESTS = 20

TASKS = {
    *("create_task.<locals>.create_task", "call_at.<locals>.call_at", "_mark_timer", "is_followed"),
    *("call_soon_threadsafe.<locals>.bridged", "_thread_start.<locals>.start", "follow_task"),
    *("followed", "begin_track", "_mark_awaited", "_completes"),
    *("_references", "_references.<locals>.<listcomp>", "_filled", "installed"),
    "Recorder.watch_loop",
}
"""What tasks, timers and threads of an application are followed with."""

EDGES = {
    *("_handle_sync.<locals>.handle", "_handle_request.<locals>.handle_request", "_open", "_serve"),
    *("_data_received.<locals>.data_received", "_last_byte", "_settle", "_send.<locals>.send"),
    *("_run_asgi.<locals>.make_wrapper.<locals>.run_asgi", "_of_the_last.<locals>.made_of"),
    *("_write.<locals>.write", "_close.<locals>.close", "_close", "_endpoint", "head_of"),
    *("connection_state_of", "ConnectionState.touched", "_loop_name", "root_track", "attempt"),
    *("_begin_root", "_end_root"),
    *("Recorder.open", "Recorder.open_early", "Recorder._open", "Recorder.admit", "Recorder.close"),
    *("Recorder._send", "RingWriter.write", "Sampler.judge", "Sampler.settle", "Naming.endpoint"),
    "Naming.method",
    *("identify", "_headers", "_headers.<locals>.<dictcomp>"),
}
"""What opens a request's timeline, closes it and hands it over."""

SLOW = {
    *("Recorder.occupy", "Recorder._log_slowly", "Recorder.blocker", "Blockers.of", "Naming.take"),
    *("RingWriter._write_slowly", "RingWriter._write_slowly.<locals>.<genexpr>"),
    *("RingWriter._here", "RingWriter._tell", "RingWriter._put", "RingWriter._write_names"),
    "RingWriter._write_names.<locals>.<genexpr>",
    *("Blockers._detail_of", "Blockers._after_response_of", "Blockers._text"),
    *("Blockers._text.<locals>.<genexpr>", "log", "_log", "attempt", "name_of_callback"),
    "describe",
    *("RingWriter._write_slowly", "RingWriter._write_slowly.<locals>.<genexpr>"),
}
"""What turns of the loop that took long are looked into with: on a busy machine any does."""


def run(program, interface, recording=None, **more):
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "demo_site.settings",
        "PYTHONPATH": str(root),
    }
    command = [sys.executable, "-c", program, interface, str(REQUESTS)]
    with contextlib.ExitStack() as stack:
        if recording is not None:
            session = stack.enter_context(open_session(recording))  # whose agent reads the ring
            environment = {**session.environment(environment), **more}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def called(interface, tmp_path, **more):
    return run(PROGRAM, interface, tmp_path / f"{len(more)}.tracer", **more)


def often(found):
    """Return what most requests call: a new name or thread and the collector come seldom."""
    return {name for name, times in found.items() if times > REQUESTS // 2}


def test_under_wsgi_python_runs_only_where_a_request_begins_and_ends(tmp_path):
    found = often(called("wsgi", tmp_path))
    assert "Recorder.close" in found, "nothing was seen"
    assert found <= EDGES | SLOW


def test_under_asgi_python_runs_only_at_the_edges_and_for_tasks(tmp_path):
    found = often(called("asgi", tmp_path))
    assert "create_task.<locals>.create_task" in found, "nothing was seen"
    assert found <= EDGES | TASKS | SLOW


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_request_that_is_not_recorded_runs_less(interface, tmp_path):
    unsampled = often(called(interface, tmp_path, TRACER_SAMPLE="0"))
    assert "Sampler.judge" in unsampled, "nothing was seen"
    assert not unsampled & {"Recorder._open", "Recorder.close", "identify", "RingWriter.write"}


SITES = """
import dis, gc, json, sys, types
from benchmarks.hosts import HOSTS
host = HOSTS[sys.argv[1]]()
for _ in range(int(sys.argv[2])):
    host.request()
code = [one.__code__ for one in gc.get_objects() if type(one) is types.FunctionType]
quick, seen = [], set()
served_by = ("django", "rest_framework", "asgiref", "gunicorn", "uvicorn")
while code:
    one = code.pop()
    package = one.co_filename.rpartition("site-packages/")[2].partition("/")[0]
    if id(one) in seen or package not in served_by:
        continue
    seen.add(id(one))
    code += [inner for inner in one.co_consts if isinstance(inner, types.CodeType)]
    for found in dis.get_instructions(one, adaptive=True):
        kind, _, how = found.opname.replace("METHOD", "ATTR").partition("LOAD_ATTR_")
        if not kind and how not in ("", "ADAPTIVE", "WITH_HINT"):
            quick.append((one.co_filename, one.co_qualname, found.offset, found.argval))
print(json.dumps(quick))
"""


STOOD_IN = {"process_request", "process_response", "close"}
"""What is no function of Django's when traced, where one call site has several kinds of objects."""


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_attributes_that_the_interpreter_has_learnt_to_find_it_finds_when_traced(
    interface, tmp_path
):
    traced = {tuple(site) for site in run(SITES, interface, tmp_path / "on.tracer")}
    untraced = {tuple(site) for site in run(SITES, interface)}
    assert len(untraced) > 500
    assert {attribute for *_, attribute in untraced - traced} <= STOOD_IN
