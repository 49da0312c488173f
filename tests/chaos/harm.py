"""A traced server under load from the project's own client, and harm done to it meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import sys
import threading
from functools import cached_property
from pathlib import Path

from tests.support.server import SERVERS, Server, agents_of, environment, guardians_of, wait_for
from tracer.agent.session import sync_with
from tracer.agent.worker_ring import location_of
from tracer.compare.load import LoadPlan, run_load
from tracer.recording.reader import Recording
from tracer.ring.reader import RingReader

CONCURRENCY = 4
LONGEST_S = 0.75
"""Less than the second for which agents are stopped here: nobody has waited for one.

It is more than a hundred times what a request takes, which leaves room for whatever else
a machine of two processors does meanwhile.
"""
TIMES, MORE_NS = 3, 20_000_000
"""By how much half of all requests may be slower: an agent that starts takes a processor."""

_LIKELY = 1 << 32


def assert_unharmed(harmed_ns, control_ns, longest_s=LONGEST_S):
    """Compare latencies under harm to those without it."""
    median, control = statistics.median(harmed_ns), statistics.median(control_ns)
    assert median <= TIMES * control + MORE_NS, f"{median / 1e6} ms, else {control / 1e6} ms"
    assert max(harmed_ns) < longest_s * 1e9, f"a request took {max(harmed_ns) / 1e9} s"


class Chaos:
    """One server under `tracer run`; what was asked of it is counted."""

    def __init__(self, folder, command, ring_bytes=1 << 20, **variables):
        self.path = Path(variables.pop("recording", folder / "site.tracer"))
        self.home = Path(variables.pop("home", None) or folder / "home")
        self.home.mkdir(exist_ok=True)
        self.answered = 0
        self.latencies = ()
        self._served = {}
        env = environment(
            DEMO_DATABASE=str(folder / "demo.sqlite3"),
            TRACER_RING_HOME=str(self.home),
            TRACER_RING_BYTES=str(ring_bytes),
            **variables,
        )
        words = SERVERS.get(command, command)
        traced = ("tracer", "run", "--record", str(self.path), "--", sys.executable, "-m", *words)
        self.server = Server(traced, env, folder / "log")

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)
        for pid in [*guardians_of(self.path), *agents_of(self.path)]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    @property
    def directory(self):
        (directory,) = self.home.glob("tracer-*")
        return directory

    def rings(self):
        return sorted(self.directory.glob("*.ring"))

    def ask(self, requests, concurrency=CONCURRENCY):
        """Ask so often; return how many answers were wrong or missing."""
        plan = LoadPlan(
            port=self.server.port, targets=("/test/",), requests=requests, concurrency=concurrency
        )
        result = run_load(plan)
        self.answered += sum(one.status is not None for one in result.answers)
        self.latencies = result.latencies_ns
        return requests - sum(one.status == 200 for one in result.answers)

    @cached_property
    def control(self):
        """Latencies of a load that nothing is done to."""
        assert self.ask(100) == 0
        return self.latencies

    def under(self, harm, requests=160):
        """Do harm in the middle of a load; return how many answers were wrong or missing.

        None of those that came may have taken longer for it.
        """
        control, wrong = self.control, []
        load = threading.Thread(target=lambda: wrong.append(self.ask(requests)))
        began = self.served()
        load.start()
        assert wait_for(lambda: self.served() > began + requests // 10)
        harm()
        load.join()
        assert_unharmed(self.latencies, control)
        return wrong[0]

    def served(self):
        """How many timelines the rings knew of: the load goes on if this grows.

        A worker's next ring counts on where its last one ended, and may be seen before or
        after it, or be garbage just now.
        """
        for process, counters in self.counters().items():
            if counters.sent < _LIKELY:
                self._served[process] = max(self._served.get(process, 0), counters.sent)
        return sum(self._served.values())

    def counters(self):
        """What each worker counts in the newest of its rings that can be read."""
        found = {}
        for path in sorted(self.rings(), key=lambda path: location_of(path.name)):
            with contextlib.suppress(OSError, ValueError):
                reader = RingReader(path)
                try:
                    found[location_of(path.name)[0]] = reader.counters()
                finally:
                    reader.close()
        return found

    def account(self):
        """Return how many timelines are recorded and how many dropped, up to now."""
        assert wait_for(lambda: sync_with(str(self.directory / "agent.sock")))
        with Recording(self.path) as recording:
            return recording.count(), recording.dropped

    def settled(self):
        """The account, once what comes after the last answers has ended too."""
        wait_for(lambda: sum(self.account()) >= self.answered)
        return self.account()

    def end(self):
        """Stop the server as an operator would; return recorded and dropped at the end."""
        self.server.stop()
        assert wait_for(lambda: not agents_of(self.path) and not guardians_of(self.path))
        assert list(self.home.iterdir()) == [], "nothing is left behind"
        with Recording(self.path) as recording:
            assert not recording.open
            return recording.count(), recording.dropped
