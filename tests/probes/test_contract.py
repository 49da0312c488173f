"""What every probe has to keep to, whichever it is: a new one is covered unedited."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import os
import sys
from collections import Counter

import pytest

from tests.live import SERVERS, Server, environment, wait_for
from tracer import timeline as t
from tracer.agent.session import open_session
from tracer.probes import all_probes
from tracer.recorder import CURRENT, Recorder
from tracer.seams import Installation, Probe, locate, parameters
from tracer.sinks.memory import MemorySink
from tracer.sinks.recording import Recording

PROBES = all_probes()
ONE_BY_ONE = pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
SEAMS = [
    pytest.param(probe, seam, id=f"{probe.name}-{seam.target}")
    for probe in PROBES
    for seam in probe.seams
]


@pytest.fixture(scope="module", autouse=True)
def _django(tmp_path_factory):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    path = tmp_path_factory.mktemp("demo") / "demo.sqlite3"
    os.environ.setdefault("DEMO_DATABASE", str(path))
    import django

    django.setup()
    yield
    from django.db import connections

    connections.close_all()


@pytest.fixture
def recorder():
    return Recorder(MemorySink())


def import_all(probe):
    for seam in probe.seams:
        try:
            importlib.import_module(seam.module)
        except ImportError:
            assert seam.module.partition(".")[0] not in sys.stdlib_module_names


def raw(seam):
    """Return what an attribute's holder itself has, to be compared by identity."""
    try:
        holder, name, found = locate(seam.target)
    except (ImportError, AttributeError):
        return None
    return vars(holder).get(name), found


def raws(probe):
    return {seam.target: raw(seam) for seam in probe.seams}


def same(one, other):
    return all(
        mine is theirs
        or (mine and theirs and all(a is b for a, b in zip(mine, theirs, strict=True)))
        for mine, theirs in zip(one.values(), other.values(), strict=True)
    )


def around():
    """What probes touch that is no seam of theirs."""
    return list(gc.callbacks), list(sys.meta_path)


@ONE_BY_ONE
def test_installing_twice_changes_nothing_and_uninstalling_restores_exactly(probe, recorder):
    import_all(probe)
    before, outside = raws(probe), around()
    installation = Installation(recorder, (probe,))
    installation.start()
    try:
        installed, hooks = raws(probe), len(recorder.loop_hooks)
        for module in installation.modules():
            installation.module_imported(module)
        assert same(installed, raws(probe))
        assert len(recorder.loop_hooks) == hooks
        refused = [one for one in installation.statuses.items() if one[1][0] == "refused"]
        assert not refused
    finally:
        installation.stop()
    assert same(before, raws(probe))
    assert around() == outside
    assert recorder.loop_hooks == []


@ONE_BY_ONE
def test_every_seam_of_an_installed_library_is_there(probe, recorder):
    """On this interpreter and these releases nothing is missing that isn't said to be optional."""
    import_all(probe)
    installation = Installation(recorder, (probe,))
    installation.start()
    installation.stop()
    assert recorder.problems == {}


@ONE_BY_ONE
def test_a_missing_library_is_absent_and_breaks_nothing(probe, recorder, monkeypatch):
    missing = {
        seam.module
        for seam in probe.seams
        if seam.module.partition(".")[0] not in sys.stdlib_module_names
    }
    import_all(probe)
    before = raws(probe)
    installation = Installation(recorder, (Probe(probe.name, probe.seams),))
    with monkeypatch.context() as patched:
        for module in missing:
            patched.setitem(sys.modules, module, None)
            installation.module_imported(module)
    assert {status for status, _ in installation.statuses.values()} <= {"absent"}
    expected = {seam.target for seam in probe.seams if seam.module in missing}
    assert set(installation.statuses) == expected
    needed = {s.target for s in probe.seams if s.module in missing and not s.optional}
    assert set(recorder.problems) == needed
    installation.stop()
    assert same(before, raws(probe))


def surprise(*surprise):
    raise AssertionError("nobody calls this")


@pytest.mark.parametrize(("probe", "seam"), SEAMS)
def test_a_target_of_unknown_shape_is_refused_named_and_left_alone(
    probe, seam, recorder, monkeypatch
):
    import_all(probe)
    if raw(seam) is None:
        pytest.skip("not in this release")
    odd = surprise if seam.shapes else object()
    holder, name, _ = locate(seam.target)
    installation = Installation(recorder, (Probe(probe.name, (seam,)),))
    with monkeypatch.context() as patched:
        patched.setattr(holder, name, odd)
        installation.start()
        left = inspect.getattr_static(holder, name)
        installation.stop()
        assert inspect.getattr_static(holder, name) is odd
    assert left is odd
    assert recorder.problems[seam.target][0] == "refused"
    assert recorder.problems[seam.target][1]


@pytest.mark.parametrize(("probe", "seam"), SEAMS)
def test_a_stand_in_keeps_name_signature_and_kind_of_the_original(probe, seam, recorder):
    """APMs that changed a call's shape broke every request of a release."""
    import_all(probe)
    if raw(seam) is None:
        pytest.skip("not in this release")
    holder, name, original = locate(seam.target)
    installation = Installation(recorder, (Probe(probe.name, (seam,)),))
    installation.start()
    try:
        stand_in = inspect.getattr_static(holder, name)
        assert gives_coroutines(stand_in) == gives_coroutines(original)
        if not isinstance(original, staticmethod | classmethod) and hasattr(
            stand_in, "__wrapped__"
        ):
            assert parameters(stand_in) == parameters(original)
            assert stand_in.__name__ == original.__name__
    finally:
        installation.stop()


def gives_coroutines(function):
    """Whether asgiref takes it for a coroutine function; on 3.11 it looks for asyncio's mark."""
    return inspect.iscoroutinefunction(function) or hasattr(function, "_is_coroutine")


# Requests -------------------------------------------------------------------------


class Failing(t.Timeline):
    """A timeline that takes no marks at all."""

    def __init__(self):
        super().__init__(1, 0, 0, 0)
        self.append = self.fail
        self.failures = 0

    def fail(self, _mark):
        self.failures += 1
        raise MemoryError("no room")


PATHS = ("/test/", "/drf/", "/queries/2/", "/raises/", "/stream/sync/?ms=0", "/nowhere/")
ASYNC_PATHS = (*PATHS, "/async/", "/sleep/?ms=1", "/gather/?ms=0", "/nested/?ms=0")


@pytest.fixture
def everything(recorder):
    installation = Installation(recorder, PROBES)
    for probe in PROBES:
        import_all(probe)
    installation.start()
    yield recorder
    installation.stop()


def answers_sync(timeline=None):
    from django.test import Client

    token = CURRENT.set(timeline)
    try:
        client = Client(raise_request_exception=False)
        found = [client.get(path) for path in PATHS]
        return [(one.status_code, b"".join(one)) for one in found]
    finally:
        CURRENT.reset(token)


def answers_async(recorder, timeline=None):
    from django.test import AsyncClient

    async def ask(path):
        CURRENT.set(timeline)
        recorder.watch_loop(asyncio.get_running_loop())
        client = AsyncClient(raise_request_exception=False)
        answer = await client.get(path)
        if answer.streaming and answer.is_async:
            return answer.status_code, b"".join([part async for part in answer])
        return answer.status_code, b"".join(answer)

    return [asyncio.run(ask(path)) for path in ASYNC_PATHS]


def test_a_recorder_that_raises_breaks_no_request(everything, caplog):
    alone = answers_sync(), answers_async(everything)
    failing = Failing()
    with_us = answers_sync(failing), answers_async(everything, failing)
    assert with_us == alone
    assert failing.failures >= 1


PAIRS = (
    (t.HOP, t.HOP_END),
    (t.CALL, t.CALL_END),
    (t.SUBMIT, t.SUBMITTED),
    (t.RUN, t.RAN),
    (t.CALL_SUBMIT, t.CALL_SUBMITTED),
    (t.PAUSE, t.PAUSE_END),
    (t.PULL, t.PULLED),
    (t.TIMER, t.TIMER_DUE),
)


def unbalanced(marks):
    """Return what of a finished request's marks has no counterpart."""
    found = Counter(code for code, *_ in marks)
    wrong = [f"{one}: {found[one]}, {other}: {found[other]}" for one, other in PAIRS
             if found[one] != found[other]]  # fmt: skip
    owners = Counter()
    for code, _, _, value in marks:
        owners[value] += (code == t.ENTER) - (code == t.EXIT)
        if owners[value] < 0:
            wrong.append(f"owner {value} left before it was entered")
    wrong += [f"owner {value} entered {n} times too often" for value, n in owners.items() if n]
    running = {}
    for code, _, thread, value in marks:
        if code == t.STEP:
            running.setdefault(thread, []).append(value)
        elif code == t.YIELD and running.get(thread):
            running[thread].pop()
        elif code == t.DONE and value in running.get(thread, ()):
            running[thread].remove(value)
    wrong += [f"tracks {left} never ended" for left in running.values() if left]
    return wrong


@pytest.mark.parametrize("name", SERVERS)
def test_marks_balance_for_requests_through_a_real_server(name, tmp_path):
    path = tmp_path / "site.tracer"
    paths = PATHS if name in ("gunicorn-sync", "gunicorn-gthread") else ASYNC_PATHS
    with open_session(path) as session:
        env = environment(DEMO_DATABASE=str(tmp_path / "demo"), DEMO_MIDDLEWARE="both")
        with Server(SERVERS[name], session.environment(env), tmp_path / "log") as server:
            for one in paths:
                assert server.ask(one)[0] < 501
            server.stop()
    wait_for(path.exists)
    with Recording(path) as recording:
        timelines = [(head, marks) for _, head, marks in recording._timelines()]
        assert recording.dropped == 0
        refused = [seam for seam in recording.seams if seam.status != "installed"]
    assert len(timelines) == len(paths)
    wrong = {head.sequence: unbalanced(marks) for head, marks in timelines}
    assert not any(wrong.values()), wrong
    assert not [seam for seam in refused if seam.status == "refused"]
