from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import environment

SAYS = "from tracer.runtime.recorder import installed; print(installed() is not None)"


@pytest.mark.parametrize("recorded", [True, False])
def test_opentelemetry_instrument_finds_the_tracer_which_needs_somewhere_to_record(
    recorded, tmp_path
):
    variables = {"TRACER_RECORD": str(tmp_path / "site.tracer")} if recorded else {}
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "-c", SAYS],
        env=environment(OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none", **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == str(recorded), done.stderr
