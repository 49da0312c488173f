"""The agent at full speed, and `tracer report` over what it wrote.

A ring is fed with real timelines, replicated, as quickly as the agent takes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.machine import ROOT, cores, cpu_ns, pinned
from benchmarks.replicate import Captured, read
from benchmarks.variants import RING_DIRECTORY
from tracer.agent.conversation import ask
from tracer.agent.session import Session, open_session
from tracer.ring.writer import CAPACITY, RingWriter

if TYPE_CHECKING:
    from benchmarks.options import Options

INTERFACE: Final = "asgi"
_FILL: Final = 0.2  # of a ring: more could be dropped before the agent comes round
_NEWEST: Final = 512
_SAMPLE_S: Final = 0.02
_SECOND_NS: Final = 1_000_000_000


def run(options: Options) -> dict[str, Any]:
    """Feed, end, report; the recording is removed afterwards."""
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recording-", dir=options.out) as folder:
        captured = capture(options, Path(folder))
        recording = Path(folder) / "agent.tracer"
        fed = _feed(captured, recording, options)
        fed["recording_bytes"] = recording.stat().st_size
        return {
            "schema": "tracer.benchmark.agent/1",
            "interface": INTERFACE,
            "agent": fed,
            "report": _report(recording, fed["timelines"], options.report_timeout_s),
        }


def capture(options: Options, folder: Path) -> Captured:
    """Keep the timelines of some real requests."""
    path = folder / "captured.json"
    command = [sys.executable, "-m", "benchmarks.capture", INTERFACE, str(options.captured), path]
    with pinned(cores()[0]):
        subprocess.run(command, cwd=ROOT, check=True)
    return read(path)


def _feed(captured: Captured, recording: Path, options: Options) -> dict[str, Any]:
    """Return how quickly the agent took them all, its own core to itself, and its memory."""
    measured, others = cores()
    with pinned(measured):
        session = open_session(recording)
    with pinned(others), session:
        directory = Path(session.environment({})[RING_DIRECTORY])
        ring = RingWriter(directory)
        ring.describe(captured.description)
        begin = time.perf_counter_ns()
        with _Watch(directory) as watch:
            fed = _write(captured, ring, session, options)
            session.sync()
            synced = time.perf_counter_ns() - begin
            _await_conclusions(directory, options.feed_timeout_s)
            session.close()
            elapsed = time.perf_counter_ns() - begin
    return {
        "timelines": fed,
        "elapsed_ns": elapsed,
        "synced_ns": synced,
        "stored_per_s": round(fed * _SECOND_NS / synced),
        "cpu_ns": watch.cpu,
        "timelines_per_s": round(fed * _SECOND_NS / elapsed),
        "timelines_per_cpu_s": round(fed * _SECOND_NS / watch.cpu) if watch.cpu else None,
        "peak_own_bytes": watch.own,
        "peak_rss_bytes": watch.rss,
    }


def _write(captured: Captured, ring: RingWriter, session: Session, options: Options) -> int:
    """Write stretch after stretch; return how many timelines there were in time."""
    names, stretches, waiting = captured.names, 0, 0
    deadline = time.monotonic() + options.feed_timeout_s
    while stretches * captured.timelines < options.report_requests:
        if time.monotonic() > deadline:
            break
        for kind, frame in captured.copy(stretches):
            if waiting > CAPACITY * _FILL:
                session.sync()
                waiting = 0
            ring.write([(kind, frame)], names)
            names = []
            waiting += len(frame)
        stretches += 1
    return stretches * captured.timelines


def _await_conclusions(directory: Path, timeout_s: float) -> None:
    """Return when all but the newest batches, which wait for those after them, are attributed."""
    deadline = time.monotonic() + timeout_s
    while json.loads(ask(directory, "status"))["lag"] > _NEWEST:
        if time.monotonic() > deadline:
            raise TimeoutError(f"attribution is still behind after {timeout_s:g} s")
        time.sleep(_SAMPLE_S)


class _Watch:
    """Samples memory and CPU time of the agent and all that belongs to it."""

    def __init__(self, directory: Path) -> None:
        """Watch the processes that were started for this folder."""
        self.rss = self.own = 0
        self._cpu: dict[int, int] = {}
        self._pids = _started_for(directory)
        if not self._pids:
            raise LookupError("the agent's process isn't found")
        self._begin = sum(cpu_ns(pid) for pid in self._pids)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def cpu(self) -> int:
        """CPU time since the beginning, as last seen."""
        return sum(self._cpu.values()) - self._begin

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            found = [self._sample(pid) for pid in self._pids]
            self.rss = max(self.rss, sum(rss for rss, _ in found))
            # The rings are the workers' memory too: their pages are counted apart.
            self.own = max(self.own, sum(rss - shared for rss, shared in found))

    def _sample(self, pid: int) -> tuple[int, int]:
        """Return a process's resident memory, and how much of it is shared; 0 once it ended."""
        try:
            self._cpu[pid] = cpu_ns(pid)
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            found = {key: text.split() for key, _, text in (line.partition(":") for line in lines)}
            return int(found["VmRSS"][0]) * 1024, int(found["RssShmem"][0]) * 1024
        except (OSError, KeyError):
            return 0, 0


def _started_for(directory: Path) -> list[int]:
    """Return the processes that were given a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if directory.name in command:
                    found.append(int(entry.name))
    return found


def _report(recording: Path, requests: int, timeout_s: float) -> dict[str, Any]:
    """Return how long `tracer report` took over the recording, and its peak memory."""
    command = [sys.executable, "-m", "tracer", "report", str(recording), "--format", "json"]
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as complaints,
        pinned(cores()[0]),
    ):
        begin = time.perf_counter_ns()
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=complaints)
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        elapsed = time.perf_counter_ns() - begin
        told_on = complaints if process.returncode else output
        told_on.seek(0)
        said = told_on.read().decode(errors="replace").strip()
    found: dict[str, Any] = {"requests": requests, "peak_rss_bytes": usage.ru_maxrss * 1024}
    if process.returncode:
        late = elapsed >= timeout_s * _SECOND_NS
        reason = f"not within {timeout_s:g} s" if late else said[-200:]
        return {**found, "failed": reason}
    told = json.loads(said)["configurations"][0]
    counts = {"recorded": told["requests"], "dropped": told["dropped_timelines"]}
    return {**found, **counts, "elapsed_ns": elapsed}
