"""Instructions per request, and what it touches of memory: figures that don't drift.

Counted by valgrind's callgrind, of the whole process: all threads, and the garbage collector when
it comes round. Its model of the processor's caches is given caches that hold everything: what
misses them is what one request touches for the first time, in lines of 64 bytes.
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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import ROOT
from benchmarks.variants import COUNTED, ON_UVLOOP, Variant
from tracer.agent.session import open_session

if TYPE_CHECKING:
    from benchmarks.options import Options

_SWITCH_S: Final = 60
_PATIENCE_S: Final = 600
_SUMMARY: Final = re.compile(r"^summary: ([\d ]+)$", re.MULTILINE)
_CACHES: Final = ("I1=33554432,16,64", "D1=33554432,16,64", "LL=67108864,16,64")


@dataclass(frozen=True, slots=True)
class _Counts:
    """What one dump of callgrind's says: Ir Dr Dw I1mr D1mr D1mw and so on."""

    instructions: int
    code_lines: int
    data_lines: int


def run(options: Options) -> dict[str, Any]:
    """Return instructions by interface and variant; only why not, where there is no valgrind."""
    found: dict[str, Any] = {"schema": "tracer.benchmark.instructions/1"}
    if shutil.which("valgrind") is None:
        return {**found, "failed": "valgrind is not installed"}
    hosts = [*options.interfaces, *([ON_UVLOOP] if "asgi" in options.interfaces else ())]
    cases = [(host, variant) for host in hosts for variant in COUNTED]
    # Counts don't mind company: as many at once as there are cores.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            counts = list(pool.map(lambda case: _count(*case, options), cases))
        except (subprocess.SubprocessError, OSError) as error:
            return {**found, "failed": f"callgrind: {error}"}
    for (interface, variant), (single, portions) in zip(cases, counts, strict=True):
        base = found.get(interface, {}).get(variant.base)
        each = [portion.instructions / options.counted for portion in portions]
        middle = statistics.median(each)
        figures = {"per_request": round(middle), "lowest": round(min(each))}
        figures["highest"] = round(max(each))
        figures |= {"code_lines": single.code_lines, "data_lines": single.data_lines}
        if base is not None:
            figures["added"] = round(middle - base["per_request"])
            figures["ratio"] = round(middle / base["per_request"], 5)
        found.setdefault(interface, {})[variant.name] = figures
    return {**found, "requests": options.counted, "portions": options.portions}


def _count(interface: str, variant: Variant, options: Options) -> tuple[_Counts, list[_Counts]]:
    """Return the counts of one request, and then those of each portion."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        environment = {**os.environ, **variant.variables}
        if not variant.traced:
            return _valgrind(interface, environment, Path(folder), options)
        with open_session(Path(folder) / "counted.tracer") as session:
            environment = {**session.environment(environment), **variant.variables}
            return _valgrind(interface, environment, Path(folder), options)


def _valgrind(
    interface: str, environment: dict[str, str], folder: Path, options: Options
) -> tuple[_Counts, list[_Counts]]:
    path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(ROOT))))
    command = [
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-before=getpgrp"),
        *("--cache-sim=yes", *(f"--{cache}" for cache in _CACHES)),
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
    counts = [_counts(total[1]) for total in totals if total is not None]
    # The rest of the warm-up, the one request, a portion that is warm-up itself, and the others.
    return counts[1], counts[-options.portions :]


def _counts(summary: str) -> _Counts:
    instructions, _, _, code, read, written, *_ = map(int, summary.split())
    return _Counts(instructions, code, read + written)
