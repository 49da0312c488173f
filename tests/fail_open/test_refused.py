"""Libraries of unknown shape: refused from the start, listed, and the request is untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fail_open.conftest import SITE, Demo
from tests.support.invariants import assert_tiles
from tests.support.run import Run
from tracer.probes import all_probes

HERE = Path(__file__).parent
CHOICES = {
    "all of Django": r"^django\.",
    "all of asgiref and DRF": r"^(asgiref|rest_framework|concurrent)",
    "every name with an r": r":.*r",
    "every name without an r": r":[^r]*$",
}


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "gunicorn-gthread"])
@pytest.mark.parametrize("chosen", CHOICES)
def test_refused_seams_are_listed_and_break_nothing(name, chosen, tmp_path, plain_answers):
    environment = {
        "DEMO_DATABASE": str(tmp_path / "demo.sqlite3"),
        "DEMO_MIDDLEWARE": "mixed",
        "TEST_REFUSE": CHOICES[chosen],
        "PYTHONPATH": str(HERE / "refuse"),
    }
    with Run(name, SITE, tmp_path, environment) as server:
        demo = Demo(server)
        found = demo.few()
        demo.client.close()
        records = server.records()
    expected = plain_answers(name)
    assert {key: answer for key, answer in found.items() if answer != expected[key]} == {}
    absent = {seam for record in records for seam in record["seams_absent"]}
    if chosen.startswith("all of"):
        assert len(absent) >= 5
        assert len(records) == len(found)
    for record in records:
        assert_tiles(record, named=False)
        assert set(record["seams_absent"]) == absent


def test_there_are_seams_of_every_library():
    modules = {seam.module.partition(".")[0] for probe in all_probes() for seam in probe.seams}
    assert {"django", "asgiref", "uvicorn", "gunicorn", "rest_framework"} <= modules
