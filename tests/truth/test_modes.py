"""Debug modes cost much, and change nothing of what is said: it tiles, and who owns what."""

from __future__ import annotations

import pytest

from tests.support.invariants import assert_tiles
from tests.truth.runs import assert_owned, whole
from tests.truth.sending import EXCEPTIONS, PHASES
from tests.truth.test_loop import view as loop_view
from tests.truth.test_owners import PARTS, REST, TEMPLATE, middleware

pytestmark = pytest.mark.alone

MODES = {"TRUTH_DEBUG": "1", "PYTHONASYNCIODEBUG": "1"}
OWNERS = {
    "phases": {**{label: middleware(label) for label in PHASES}, **TEMPLATE},
    "exceptions": {label: middleware(label) for label in EXCEPTIONS},
    "parts": PARTS,
    "rest": REST,
}


@pytest.fixture(params=["uvicorn-h11-asyncio"], scope="module")
def owners(request, run_of):
    return run_of(request.param, "all", "owners", **MODES)


@pytest.fixture(params=["uvicorn-httptools-uvloop"], scope="module")
def loop(request, run_of):
    return run_of(request.param, "none", "loop", **MODES)


def assert_mode(run):
    assert run.environment["debug"] is True
    assert run.environment["asyncio_debug"] is True
    sent = [answer.trace_id for answers in run.answers.values() for answer in answers]
    assert set(sent) <= {record["trace_id"] for record in run.records}
    for record in run.records:
        assert_tiles(record)


def test_owners_run_tiles_and_says_its_mode(owners):
    assert_mode(owners)


def test_loop_run_tiles_and_says_its_mode(loop):
    assert_mode(loop)


@pytest.mark.timing
@pytest.mark.parametrize("scenario", OWNERS)
@pytest.mark.parametrize("how", ["spin", "sleep"])
def test_the_right_owner_has_it(owners, scenario, how):
    for record in owners.of(f"{scenario} {how}"):
        for label, owner in OWNERS[scenario].items():
            (note,) = owners.noted(record, label)
            assert_owned(whole(record), note, **owner)


@pytest.mark.timing
@pytest.mark.parametrize("way", ["task", "wait_for", "group"])
def test_an_awaited_task_tiles(loop, way):
    for record in loop.of(f"tasks {way}"):
        (note,) = loop.noted(record, "task")
        assert_owned(record["segments"], note, **loop_view("tasks", state="run"))


def test_nested_hand_offs(loop):
    for record in loop.of("nested"):
        for label in ("outer", "middle", "inner"):
            (note,) = loop.noted(record, label)
            assert_owned(record["segments"], note, **loop_view("nested", state="run"))
