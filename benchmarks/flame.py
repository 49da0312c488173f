"""`python -m benchmarks.flame [ROUNDS] [SECONDS]`: what taking stacks costs, as a Markdown table.

All servers are up, each has one worker; every round gives each one stretch on one keep-alive
connection. The first is traced without any stacks: what the others are compared with.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.machine import ROOT, cores, pinned
from benchmarks.sockets import SERVERS, TARGET
from benchmarks.stats import ratio
from tracer.agent.session import open_session
from tracer.compare.load import LoadPlan, run_load
from tracer.compare.servers import Server
from tracer.recording.reader import Recording

ROUNDS: Final = 15
SECONDS: Final = 1.0
VARIANTS: Final = {
    "traced, no stacks": {},
    "unarmed (1/1000000000)": {"TRACER_FLAME": "1/1000000000"},
    "1/1000 sampled": {"TRACER_FLAME": "1/1000", "TRACER_FLAME_SOURCE": "sampled"},
    "1/1000 exact": {"TRACER_FLAME": "1/1000", "TRACER_FLAME_SOURCE": "exact"},
    "all sampled": {"TRACER_FLAME": "all", "TRACER_FLAME_SOURCE": "sampled"},
    "all exact": {"TRACER_FLAME": "all", "TRACER_FLAME_SOURCE": "exact"},
}


def measure(command: str, rounds: int, seconds: float) -> dict[str, tuple[list[float], int, int]]:
    """Return by variant the p50 of each round, and how many requests came and were armed."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    p50: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        stack.enter_context(pinned(cores()[1]))
        sides = {}
        for number, (name, variables) in enumerate(VARIANTS.items()):
            policy = {"TRACER_SAMPLE": "1", **variables}
            recording = folder / f"{number}.tracer"
            session = stack.enter_context(open_session(recording, policy=policy))
            environment = session.environment({**os.environ, "PYTHONPATH": path})
            with pinned(cores()[0]):
                server = stack.enter_context(Server(command, environment=environment))
            server.wait_ready(TARGET)
            sides[name] = (recording, session, server)
        for number in range(rounds):
            names = list(sides) if number % 2 else list(reversed(sides))
            for name in names:
                p50[name].append(_p50(sides[name][2].port, seconds))
                sides[name][1].sync()
        found = {}
        for name, (recording, session, server) in sides.items():
            server.stop()
            session.close()
            with Recording(recording) as opened:
                found[name] = (p50[name], opened.count(), len(opened.with_stacks()))
        return found


def _p50(port: int, seconds: float) -> float:
    plan = LoadPlan(
        port=port,
        targets=(TARGET,),
        requests=100_000,
        warmup=16,
        concurrency=1,
        max_seconds=seconds,
    )
    result = run_load(plan)
    assert not result.errors, f"{result.errors} requests failed"
    return float(np.median(result.latencies_ns))


def main() -> None:
    """Measure both interfaces and print a table of each."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS  # noqa: PLR2004
    for interface, command in SERVERS.items():
        started = command.format(python=sys.executable, module=f"demo_site.{interface}")
        found = measure(started, rounds, seconds)
        plain = np.array(next(iter(found.values()))[0])
        print(f"\n| {interface} | p50 ms | ratio of p50 (95 %) | requests | armed |")
        print("|---|---|---|---|---|")
        for name, (p50, requests, armed) in found.items():
            of = ratio(np.array(p50), plain)
            low, high = of["ci95"]
            said = f"{of['value']:.3f} ({low:.3f} to {high:.3f})"
            print(f"| {name} | {np.median(p50) / 1e6:.3f} | {said} | {requests} | {armed} |")


if __name__ == "__main__":
    main()
