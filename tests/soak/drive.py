"""Load for a long time on a traced server; its memory, descriptors and threads looked at."""

from __future__ import annotations

import math
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.starting.runs import StartedRun
from tests.support.server import SERVERS, agents_of, wait_for
from tracer.compare.load import LoadPlan, run_load
from tracer.recording.reader import Recording

NAMES = {"wsgi": "gunicorn-sync", "asgi": "uvicorn-httptools-uvloop"}
TARGETS = (
    *("/test/", "/queries/3/", "/async/", "/drf/", "/raises/?kind=missing"),
    *("/stream/sync/?ms=0", "/gather/?ms=0", "/nested/?ms=0", "/test/"),
)
STRETCHES = 40
CONCURRENCY = 2
WARM = 0.1
GROWTH_KB = 2048
"""Two bytes a request over a million: what allocators and SQLite's cache do by themselves."""
BRIEF = {"growth_kb": 4096, "warm": 0.5, "agent_kb": 65_536}
"""Of less than a minute. On a slow machine that is a few hundred requests, in which the agent fills
its caches: some 50 MB after 8,000. It is judged by its size."""
_ENDED_S = 120.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process holds while nobody asks it anything; `anon_kb` is memory of its own."""

    anon_kb: int
    descriptors: int
    threads: int


@dataclass
class Soaked:
    """What became of one server; `usages` by process, one for each stretch of load."""

    interface: str
    sent: int = 0
    wrong: int = 0
    recorded: int = 0
    dropped: int = 0
    usages: dict[str, list[Usage]] = field(default_factory=dict)

    def complaints(self, growth_kb=GROWTH_KB, warm=WARM, agent_kb=None):
        """Say what does not hold after the share `warm` of the load, one line each.

        No process grows by more than `growth_kb`, nor the agent beyond `agent_kb` if given.

        A few descriptors and threads come and go: a connection to the database lives as
        long as its thread's locals, a pool starts a thread when it has none idle.
        """
        if self.wrong:
            yield f"{self.wrong} answers wrong or missing"
        if self.sent != self.recorded + self.dropped:
            yield f"{self.sent} sent, {self.recorded} recorded, {self.dropped} dropped"
        for process, usages in self.usages.items():
            begun, ended = after(usages, warm), usages[-3:]
            for what, allowed in (("anon_kb", growth_kb), ("descriptors", 16), ("threads", 8)):
                early = statistics.median(getattr(one, what) for one in begun)
                late = statistics.median(getattr(one, what) for one in ended)
                sized = agent_kb is not None and (process, what) == ("agent", "anon_kb")
                if late > agent_kb if sized else late - early > allowed:
                    yield f"{process}: {what} grew from {early:.0f} to {late:.0f}"

    def __str__(self):
        lines = [
            (
                f"{self.interface}: sent {self.sent} = recorded {self.recorded} + dropped "
                f"{self.dropped}, wrong or missing {self.wrong}"
            )
        ]
        for process, usages in self.usages.items():
            (begun, *_), ended = after(usages, WARM), usages[-1]
            lines.append(
                f"  {process}: memory {begun.anon_kb} → {ended.anon_kb} KiB, descriptors "
                f"{begun.descriptors} → {ended.descriptors}, threads "
                f"{begun.threads} → {ended.threads}"
            )
        return "\n".join(lines)


def after(usages, share):
    """Return the three looks that follow a share of all."""
    start = max(1, math.ceil(len(usages) * share))
    return usages[start : start + 3]


def usage(pid):
    """Look at a process."""
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    return Usage(
        int(re.search(r"RssAnon:\s+(\d+)", status)[1]),
        len(list((process / "fd").iterdir())),
        int(re.search(r"Threads:\s+(\d+)", status)[1]),
    )


def soak(interface, directory, requests, seconds=None, stretches=STRETCHES):
    """Drive `requests`, or as many as `seconds` leave time for, and look in between."""
    name, soaked = NAMES[interface], Soaked(interface)
    with StartedRun(directory, ("python", "-m", *SERVERS[name])) as run:
        run.ask()  # its worker may be on its way
        soaked.sent = run.answered
        worker = run.workers()[0] if name.startswith("gunicorn") else run.pid
        (agent,) = agents_of(run.recording)
        stop = None if seconds is None else time.monotonic() + seconds
        while soaked.sent < requests and (stop is None or time.monotonic() < stop):
            stretch = min(-(-requests // stretches), requests - soaked.sent)
            load(run.server.port, stretch, seconds and seconds / stretches, soaked)
            time.sleep(0.1)  # what follows a response, and the agent's turn
            for process, pid in (("worker", worker), ("agent", agent)):
                soaked.usages.setdefault(process, []).append(usage(pid))
        time.sleep(0.3)
        run.server.stop()
        assert wait_for(lambda: not agents_of(run.recording), _ENDED_S), "an agent is left behind"
    with Recording(run.recording) as recording:
        soaked.recorded, soaked.dropped = recording.count(), recording.dropped
    return soaked


def load(port, requests, seconds, soaked):
    plan = LoadPlan(
        port=port,
        targets=TARGETS,
        requests=requests,
        concurrency=CONCURRENCY,
        max_seconds=seconds,
    )
    result = run_load(plan)
    soaked.sent += len(result.answers)
    soaked.wrong += sum(one.status not in (200, 404) for one in result.answers)
    assert not result.gave_up
