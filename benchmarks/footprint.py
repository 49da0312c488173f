"""What importing and installing the tracer takes, in time and in memory; medians of processes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import ROOT
from benchmarks.variants import RING_DIRECTORY
from tracer.agent.session import open_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.options import Options

# In a worker that has loaded its server and its site, but not us.
_WORKER: Final = """
import json, resource, sys, time
import gunicorn.workers.sync, uvicorn.protocols.http.httptools_impl, uvicorn_worker
import demo_site.wsgi, demo_site.asgi

def memory():
    lines = open("/proc/self/smaps_rollup").read().splitlines()[1:]
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return found["Rss"], found["Private_Dirty"] + found["Private_Clean"]

before, spent, start = memory(), time.process_time_ns(), time.perf_counter_ns()
import tracer
imported = time.perf_counter_ns()
assert tracer.install() is not None
end, spent, after = time.perf_counter_ns(), time.process_time_ns() - spent, memory()
json.dump({
    "import_ns": imported - start,
    "install_ns": end - start,
    "install_cpu_ns": spent,
    "rss_bytes": after[0] - before[0],
    "private_bytes": after[1] - before[1],
}, sys.stdout)
"""
_SITE: Final = "import demo_site.wsgi"
_BYSTANDER: Final = "pass"


def run(options: Options) -> dict[str, Any]:
    """Return medians: of `import tracer` with `install`, and of what starts take longer."""
    runs = options.footprint_runs
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        open_session(Path(folder) / "footprint.tracer") as session,
    ):
        # Compiled once, as an installer leaves it, whatever this shell was told about that.
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(folder, "pyc"))}
        base = {**os.environ, "DJANGO_SETTINGS_MODULE": "demo_site.settings", **compiled}
        base["PYTHONPATH"] = str(ROOT)
        traced = session.environment(base)
        # Only told where the agent is: the script itself imports the tracer.
        told = {**base, RING_DIRECTORY: traced[RING_DIRECTORY]}
        worker = [json.loads(_python(_WORKER, told)) for _ in range(runs + 1)][1:]
        return {
            "schema": "tracer.benchmark.footprint/1",
            "runs": runs,
            "worker": {
                key: round(statistics.median(one[key] for one in worker)) for key in worker[0]
            },
            "site_start": _starts(_SITE, base, traced, runs),
            "bystander_start": _starts(_BYSTANDER, base, traced, runs),
        }


def _starts(
    code: str, base: Mapping[str, str], traced: Mapping[str, str], runs: int
) -> dict[str, Any]:
    """Return how long a process of this code takes, under `tracer run` and not, in pairs."""
    pairs: list[tuple[int, int]] = []
    for number in range(runs + 1):
        took: dict[bool, int] = {}
        for on in (False, True) if number % 2 else (True, False):
            start = time.perf_counter_ns()
            _python(code, traced if on else base)
            took[on] = time.perf_counter_ns() - start
        pairs.append((took[False], took[True]))
    measured = pairs[1:]
    return {
        "untraced_ns": round(statistics.median(off for off, _ in measured)),
        "traced_ns": round(statistics.median(on for _, on in measured)),
        "added_ns": round(statistics.median(on - off for off, on in measured)),
    }


def _python(code: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
