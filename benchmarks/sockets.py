"""Real servers, real sockets: traced with the agent recording, and not, on the same two cores.

The server with its one worker has a core of its own; the load client, the agent and whoever
exports share the other. Every round gives each server one stretch with one connection, for
latency, and, after all have had theirs, one with several, for throughput. What is compared are
stretches of the same round, a few seconds apart: a virtual machine is slower by half for some
seconds and quick again. All are started anew several times, as memory happens to lie better
for one process than for the next of the same program.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.export import Discarding
from benchmarks.machine import ROOT, cores, cpu_ns, pinned
from benchmarks.peers import INTERFACE, PEER, SINK
from benchmarks.stats import TAIL, difference, ratio
from benchmarks.venvs import PeerError, python_of
from tracer.agent.session import Session, open_session
from tracer.compare.load import LoadPlan, run_load
from tracer.compare.servers import Server
from tracer.settings.otlp import OTLP, passed_on

if TYPE_CHECKING:
    from benchmarks.options import Options

SERVERS: Final = {
    "wsgi": "{python} -m gunicorn {module}:application --workers 1",
    "asgi": "{python} -m gunicorn {module}:application --workers 1 -k uvicorn_worker.UvicornWorker",
}
_BESIDE: Final = "otel"
"""The peer that is measured beside us, exporting as well."""
TARGET: Final = "/test/"
_CONNECTIONS: Final = 8
_WARMUP: Final = 2 * _CONNECTIONS
_MOST: Final = 100_000
_REPORT_S: Final = 600
_SECOND_NS: Final = 1_000_000_000


@dataclass(slots=True)
class _Side:
    """One server, and what each round showed of it."""

    server: Server
    session: Session | None
    worker: int = 0
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    throughput: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    catch_up: list[float] = field(default_factory=list)
    sent: int = 1  # the one that `wait_ready` asks

    def alone(self, seconds: float) -> None:
        """Take a stretch of one request after the other."""
        latencies, _, _ = self._load(1, seconds)
        self.p50.append(float(np.median(latencies)))
        self.p99.append(float(np.percentile(latencies, TAIL)))
        if self.session is not None:
            self.session.sync()

    def saturated(self, seconds: float) -> None:
        """Take a stretch of as many as it can; the agent is waited for, for the others' sake."""
        _, throughput, cpu = self._load(_CONNECTIONS, seconds)
        self.throughput.append(throughput)
        self.cpu.append(cpu)
        begin = time.perf_counter_ns()
        if self.session is not None:
            self.session.sync()
        self.catch_up.append(time.perf_counter_ns() - begin)

    def take_over(self, other: _Side) -> None:
        """Have the rounds of the same server, started once more, count as well."""
        for mine, its in zip(self._columns(), other._columns(), strict=True):
            mine.extend(its)
        self.sent += other.sent

    def _columns(self) -> tuple[list[float], ...]:
        return self.p50, self.p99, self.throughput, self.cpu, self.catch_up

    def figures(self) -> dict[str, Any]:
        """Return the medians of its rounds."""
        columns = {
            "p50_ns": self.p50,
            "p99_ns": self.p99,
            "throughput": self.throughput,
            "cpu_ns": self.cpu,
        }
        return {"sent": self.sent} | {
            name: round(float(np.median(column))) for name, column in columns.items()
        }

    def _load(self, connections: int, seconds: float) -> tuple[tuple[int, ...], float, float]:
        """Return latencies, requests a second, and the worker's CPU time per request."""
        plan = LoadPlan(
            port=self.server.port,
            targets=(TARGET,),
            requests=_MOST,
            warmup=_WARMUP,
            concurrency=connections,
            max_seconds=seconds,
        )
        spent = cpu_ns(self.worker)
        result = run_load(plan)
        spent = cpu_ns(self.worker) - spent
        assert not result.errors, f"{result.errors} requests failed"
        answers = result.answers
        served = len(answers) + _WARMUP
        self.sent += served
        elapsed = max(one.last_byte_ns for one in answers) - min(one.send_ns for one in answers)
        return result.latencies_ns, len(answers) * _SECOND_NS / elapsed, spent / served


def run(options: Options) -> dict[str, Any]:
    """Return the figures of both interfaces."""
    found: dict[str, Any] = {"schema": "tracer.benchmark.sockets/1", "connections": _CONNECTIONS}
    for interface in options.interfaces:
        found[interface] = _interface(interface, options)
    return found


def _interface(interface: str, options: Options) -> dict[str, Any]:
    generations = [_generation(interface, options) for _ in range(options.socket_generations)]
    (off, on, out, *peers), shed, exported, without = generations[0]
    for sides, more_shed, more_exported, _ in generations[1:]:
        for side, other in zip((off, on, out, *peers), sides, strict=True):
            side.take_over(other)
        shed, exported = _added(shed, more_shed), _added(exported, more_exported)
    peer = peers[0] if peers else None
    shed["shed_share"] = _share(shed["recorded"], on.sent)
    exported["shed_share"] = _share(exported["exported"], out.sent)
    return {
        "untraced": off.figures(),
        "traced": on.figures(),
        "rounds": len(off.p50),
        "generations": options.socket_generations,
        "added_p50_ns": difference(np.array(on.p50), np.array(off.p50)),
        "ratio_p50": ratio(np.array(on.p50), np.array(off.p50)),
        "ratio_p99": ratio(np.array(on.p99), np.array(off.p99)),
        "ratio_throughput": ratio(np.array(on.throughput), np.array(off.throughput)),
        # Of the worker's own throughput: how much CPU time a request leaves for others.
        "ratio_cpu": ratio(np.array(off.cpu), np.array(on.cpu)),
        "catch_up_ns": round(float(np.median(on.catch_up))),
        **shed,
        # Each round at saturation: what the backend has of what was sent meanwhile.
        "exported": {
            **out.figures(),
            **exported,
            "ratio_throughput": ratio(np.array(out.throughput), np.array(off.throughput)),
        },
        "peer": {"failed": without}
        if peer is None
        else {
            "title": importlib.import_module(f"benchmarks.peers.{_BESIDE}").TITLE,
            **peer.figures(),
            "ratio_throughput": ratio(np.array(peer.throughput), np.array(off.throughput)),
        },
    }


def _generation(
    interface: str, options: Options
) -> tuple[tuple[_Side, ...], dict[str, Any], dict[str, Any], str]:
    """Start each server once and take its rounds; return them, and what became of requests."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))
        stack.enter_context(pinned(cores()[1]))
        recording = Path(folder) / "sockets.tracer"
        session = stack.enter_context(open_session(recording))
        elsewhere = Path(folder) / "exported.tracer"
        receiver = stack.enter_context(Discarding())
        exporting = stack.enter_context(
            open_session(elsewhere, export=passed_on({OTLP: receiver.url}))
        )
        off = _start(interface, None, stack)
        on = _start(interface, session, stack)
        out = _start(interface, exporting, stack)
        peer, without = _start_peer(interface, receiver.url, options, stack)
        sides = (off, on, out, *([peer] if peer is not None else []))
        for number in range(options.socket_rounds):
            order = sides if number % 2 else sides[::-1]
            for side in order:
                side.alone(options.socket_seconds)
            for side in order:
                side.saturated(options.socket_seconds)
        for side in sides:
            side.server.stop()
            if side.session is not None:
                side.session.close()
        return sides, _became(recording), _became(elsewhere), without


def _start_peer(
    interface: str, sink: str, options: Options, stack: contextlib.ExitStack
) -> tuple[_Side | None, str]:
    """Return a server with the peer in it, or why there is none."""
    if not options.peers:
        return None, "not asked for"
    try:
        python = python_of(_BESIDE)
    except (PeerError, OSError, subprocess.SubprocessError) as error:
        return None, f"can't be installed: {error}"
    told = {PEER: _BESIDE, INTERFACE: interface, SINK: sink}
    return _start(interface, None, stack, (str(python), "benchmarks.peers.site", told)), ""


def _start(
    interface: str,
    session: Session | None,
    stack: contextlib.ExitStack,
    how: tuple[str, str, dict[str, str]] | None = None,
) -> _Side:
    """Start a server; `how` is interpreter, module and environment where they are others."""
    python, module, told = how or (sys.executable, f"demo_site.{interface}", {})
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, **told}
    if session is not None:
        environment = session.environment(environment)
    command = SERVERS[interface].format(python=python, module=module)
    with pinned(cores()[0]):
        server = stack.enter_context(Server(command, environment=environment))
    assert server.wait_ready(TARGET) == 200, "the demo doesn't answer"  # noqa: PLR2004
    side = _Side(server, session)
    side.worker = _worker_on(server.port)
    return side


def _worker_on(port: int) -> int:
    """Return the process whose parent listens as well: gunicorn's one worker."""
    wanted = f"socket:[{_socket_inode(port)}]"
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and wanted in _open_in(entry):
            stat = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            parents[int(entry.name)] = int(stat[1])
    (worker,) = [pid for pid, parent in parents.items() if parent in parents]
    return worker


def _open_in(process: Path) -> set[str]:
    """Return what a process has open; what it closes meanwhile is not among it."""
    found = set()
    with contextlib.suppress(OSError):
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(link.readlink()))
    return found


def _socket_inode(port: int) -> str:
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    listening = [row for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    return listening[0][9]


def _became(recording: Path) -> dict[str, Any]:
    """Return what a recording says of the requests it was told of."""
    command = [sys.executable, "-m", "tracer", "report", str(recording), "--format", "json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=_REPORT_S
    )
    told = json.loads(done.stdout)["configurations"][0]
    return {
        "recorded": told["requests"],
        "dropped": told["dropped_timelines"],
        "exported": told["counts"].get("exported") or 0,
        "not_exported": told["counts"].get("not_exported") or 0,
    }


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: number + other[name] for name, number in one.items()}


def _share(arrived: int, sent: int) -> float:
    return round(1 - arrived / sent, 6)
