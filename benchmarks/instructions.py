"""Instructions per request, counted by valgrind's callgrind: a figure that doesn't drift.

Of the whole process: all threads, and the garbage collector when it comes round.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import ROOT
from benchmarks.variants import COUNTED, OFF, Variant
from tracer.agent.session import open_session

if TYPE_CHECKING:
    from benchmarks.options import Options

_SWITCH_S: Final = 60
_PATIENCE_S: Final = 600
_SUMMARY: Final = re.compile(r"^summary: (\d+)$", re.MULTILINE)


def run(options: Options) -> dict[str, Any]:
    """Return instructions by interface and variant; only why not, where there is no valgrind."""
    found: dict[str, Any] = {"schema": "tracer.benchmark.instructions/1"}
    if shutil.which("valgrind") is None:
        return {**found, "failed": "valgrind is not installed"}
    cases = [(interface, variant) for interface in options.interfaces for variant in COUNTED]
    # Counts don't mind company: as many at once as there are cores.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            counts = list(pool.map(lambda case: _count(*case, options), cases))
        except (subprocess.SubprocessError, OSError) as error:
            return {**found, "failed": f"callgrind: {error}"}
    for (interface, variant), portions in zip(cases, counts, strict=True):
        base = found.get(interface, {}).get(OFF)
        each = [portion / options.counted for portion in portions]
        middle = statistics.median(each)
        figures = {"per_request": round(middle), "lowest": round(min(each))}
        figures["highest"] = round(max(each))
        if base is not None:
            figures["added"] = round(middle - base["per_request"])
            figures["ratio"] = round(middle / base["per_request"], 5)
        found.setdefault(interface, {})[variant.name] = figures
    return {**found, "requests": options.counted, "portions": options.portions}


def _count(interface: str, variant: Variant, options: Options) -> list[int]:
    """Return the instructions of each portion."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        environment = dict(os.environ)
        if not variant.traced:
            return _valgrind(interface, environment, Path(folder), options)
        with open_session(Path(folder) / "counted.tracer") as session:
            environment = {**session.environment(environment), **variant.variables}
            return _valgrind(interface, environment, Path(folder), options)


def _valgrind(
    interface: str, environment: dict[str, str], folder: Path, options: Options
) -> list[int]:
    path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(ROOT))))
    command = [
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-before=getpgrp"),
        f"--callgrind-out-file={folder / 'counts'}",
        *(sys.executable, "-m", "benchmarks.counted", interface),
        *(str(options.counted), str(options.portions + 1)),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            # With another seed dictionaries collide elsewhere, and other counts come out.
            env={**environment, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        # Not counting before makes the start several times quicker.
        switch = ["callgrind_control", "-i", "on", str(process.pid)]
        subprocess.run(switch, check=True, capture_output=True, timeout=_SWITCH_S)
        process.communicate(b"go\n", timeout=_PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    dumps = sorted(folder.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
    totals = [_SUMMARY.search(dump.read_text(errors="replace")) for dump in dumps]
    counts = [int(total[1]) for total in totals if total is not None]
    # Before the first portion is the rest of the warm-up, and the first is warm-up itself.
    return counts[-options.portions :]
