"""What holds for requests with every probe installed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections import Counter

import pytest

from tests.support.server import SERVERS, Server, environment, wait_for
from tracer.agent.session import open_session
from tracer.model import timeline as t
from tracer.model.current import CURRENT
from tracer.model.frames import decode_head
from tracer.model.native import native
from tracer.probes import all_probes
from tracer.recording.reader import Recording
from tracer.runtime.seams import Installation


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
    installation = Installation(recorder, all_probes())
    for module in installation.modules():
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
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


@pytest.mark.skipif(native is not None, reason="in C a mark can't be made to raise")
def test_a_recorder_that_raises_breaks_no_request(everything, caplog):
    alone = answers_sync(), answers_async(everything)
    failing = Failing()
    with_us = answers_sync(failing), answers_async(everything, failing)
    assert with_us == alone
    assert failing.failures


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
    assert wait_for(path.exists)
    with Recording(path) as recording:
        timelines = [
            (decode_head(head), found.marks_of(place).tolist())
            for _, found in recording._timelines(0)
            for place, head in enumerate(found.heads)
        ]
        assert recording.dropped == 0
        refused = [seam for seam in recording.seams if seam.status != "installed"]
    assert len(timelines) == len(paths)
    wrong = {head.sequence: unbalanced(marks) for head, marks in timelines}
    assert not any(wrong.values()), wrong
    assert not [seam for seam in refused if seam.status == "refused"]
