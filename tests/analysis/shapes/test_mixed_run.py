from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.mixed import EVERYWHERE, run
from tests.support.server import ROOT, SERVERS, tracer
from tracer.model.native import PURE, native

CHECKER = ROOT / "benchmarks" / "check_jsonl.py"
COUNT = 4 * len(EVERYWHERE)


HOW = [(name, {}) for name in SERVERS]
IN_PYTHON = [(name, {PURE: "1"}) for name in ("uvicorn-h11-asyncio", "gunicorn-sync")]


@pytest.mark.parametrize(
    ("name", "variables"),
    HOW if native is None else HOW + IN_PYTHON,
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_every_request_of_a_mixed_load_is_recorded_once_and_tiles(name, variables, tmp_path):
    wrong, _, recording, output = run(name, COUNT, tmp_path, **variables)
    assert wrong == []
    assert "tracer:" not in output
    lines = tracer("report", recording, "--format", "jsonl").stdout
    checked = subprocess.run(
        [sys.executable, CHECKER, "--count", str(COUNT + 1), "-"],
        input=lines,
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith(f"requests={COUNT + 1} ")


GOOD = (
    '{"schema":"tracer.request/1","request_id":"a","start_ns":1,"end_ns":3,'
    '"segments":[{"start_ns":1,"end_ns":3,"layer":"view"}],"layers":{"view":2},'
    '"after_response":[],"after_response_ns":0}'
)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([GOOD, GOOD], "not the first"),
        ([GOOD.replace('"end_ns":3,"layer"', '"end_ns":2,"layer"')], "end at 2, not at 3"),
        (
            [GOOD.replace('"start_ns":1,"end_ns":3,"layer"', '"start_ns":2,"end_ns":3,"layer"')],
            "aft",
        ),
        ([GOOD.replace('"view":2', '"view":1')], "layers sum to 1"),
        ([GOOD.replace('"view":2', '"server":2')], "not the sums"),
        (
            [GOOD.replace('"after_response_ns":0', '"after_response_ns":5')],
            "after_response: end at",
        ),
        ([GOOD.replace('"layer":"view"', '"layer":"other"')], "unknown layers"),
        ([GOOD.replace("request/1", "request/2")], "schema"),
        (["{}"], "no request"),
        (["nonsense"], "no request"),
        ([GOOD[:-5]], "no request"),
        ([], "0 requests, 1 were expected"),
    ],
)
def test_the_check_finds_what_does_not_hold(lines, said):
    checked = subprocess.run(
        [sys.executable, CHECKER, "--count", str(max(len(lines), 1)), "-"],
        input="\n".join(lines),
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 1
    assert said in checked.stderr
