"""The load client: `python -m tracer.compare.client`, a plan on stdin, columns on stdout.

It ends when its stdin does. One thread, no work an event can do without.
"""

from __future__ import annotations

import gc
import os
import select
import selectors
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from tracer.compare.connection import TIMEOUT, Connection
from tracer.compare.load import LoadPlan
from tracer.compare.wire import TRACE_ID_BYTES, Columns, encode

_OPEN_LOOP_CONNECTIONS: Final = 256
_POOL: Final = 8
_SCAN_NS: Final = 50_000_000
_IDLE_WAIT_S: Final = 0.05
_SPAN_ID_BYTES: Final = 8
_GIVE_UP_AFTER: Final = 20
_TIMEOUT_WEIGHT: Final = 10
_CLOCK_STEP_NS: Final = 100_000
_SECOND_NS: Final = 1_000_000_000
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})


class Driver:
    """Issues requests on its connections and writes down how each one ended."""

    def __init__(self, plan: LoadPlan) -> None:
        """Build all that a request needs before the first one is sent."""
        self.plan = plan
        self.address = (plan.host, plan.port)
        self.selector = selectors.DefaultSelector()
        self.keep_alive = plan.connection == "keep-alive"
        self.head_only = plan.method == "HEAD"
        self.may_resend = plan.method in _IDEMPOTENT
        self.bytes_received = self.connections = self.issued = self.done = self.failures = 0
        self.total = plan.warmup + plan.requests
        self.gave_up = False
        self.columns = Columns(self.total)
        self.ids = os.urandom(TRACE_ID_BYTES * self.total)
        self.spans = os.urandom(_SPAN_ID_BYTES * self.total)
        self.heads, self.tail = _request_parts(plan)
        self.clients = [Connection(self) for _ in range(_width(plan))]
        self.patience = _GIVE_UP_AFTER + _TIMEOUT_WEIGHT * len(self.clients)
        self.ready: deque[Connection] = deque()
        self.unopened = list(self.clients)
        self.pool = min(len(self.clients), _POOL if plan.rate else plan.concurrency)
        self.offset_ns = _unix_offset_ns()
        self.interval_ns = _SECOND_NS / plan.rate if plan.rate else 0.0

    def request_bytes(self, index: int) -> bytes:
        """Return the request with a trace id of its own."""
        trace = self.ids[index * TRACE_ID_BYTES : (index + 1) * TRACE_ID_BYTES].hex()
        span = self.spans[index * _SPAN_ID_BYTES : (index + 1) * _SPAN_ID_BYTES].hex()
        return self.heads[index % len(self.heads)] + f"{trace}-{span}".encode() + self.tail

    def issue(self, scheduled_ns: int = 0) -> None:
        """Send the next request on the connection that has been idle the longest.

        Some connections are opened first of all: with one, one worker had all the load.
        """
        index = self.issued
        self.issued += 1
        opened = len(self.clients) - len(self.unopened)
        fresh = self.unopened and (not self.ready or opened < self.pool)
        connection = self.unopened.pop() if fresh else self.ready.popleft()
        connection.start(index, self.request_bytes(index), scheduled_ns)

    @property
    def can_issue(self) -> bool:
        """Whether a request is left and a connection for it."""
        left = self.issued < self.total and self.failures <= self.patience
        return left and bool(self.ready or self.unopened)

    def ended(self, connection: Connection, error: int) -> None:
        """Write a request down; its connection is ready for another."""
        index, columns = connection.index, self.columns
        columns.scheduled[index] = connection.scheduled_ns
        columns.send[index] = connection.send_ns
        columns.first[index] = connection.first_ns
        columns.last[index] = connection.last_ns
        columns.status[index] = connection.status
        columns.fresh[index] = connection.fresh
        arrived = connection.arrived_unix_ns()
        if arrived and not error:
            columns.own_delay[index] = max(0, connection.last_ns - arrived + self.offset_ns)
        self.done += 1
        weight = _TIMEOUT_WEIGHT if error == TIMEOUT else 1
        self.failures = self.failures + weight if error else 0
        columns.error[index] = error
        (self.unopened if connection.sock is None else self.ready).append(connection)

    def run(self) -> None:
        """Issue all requests and wait for the last one's end."""
        advance = self.advance_open if self.plan.rate else self.advance_closed
        self.begin_ns = perf_counter_ns()
        scan_ns = self.begin_ns + _SCAN_NS
        limit_ns = int((self.plan.max_seconds or 0) * _SECOND_NS)
        while self.done < self.total:
            advance()
            if self.failures > self.patience:
                self.gave_up = True
                self.total = self.issued
            now = perf_counter_ns()
            if now >= scan_ns:
                scan_ns = now + _SCAN_NS
                self.scan(now)
                if limit_ns and now - self.begin_ns > limit_ns:
                    self.total = max(self.issued, min(self.total, self.plan.warmup + 1))
        self.forget_delays_after_clock_step()

    def advance_closed(self) -> None:
        """One turn of the closed loop: every idle connection gets the next request."""
        while self.can_issue:
            self.issue()
        for key, events in self.selector.select(_IDLE_WAIT_S):
            key.data.handle(events)

    def advance_open(self) -> None:
        """One turn of the open loop: all that is due is sent, late or not."""
        wait_s = _IDLE_WAIT_S
        while self.can_issue:
            due_ns = self.begin_ns + int(self.issued * self.interval_ns)
            wait_s = min(_IDLE_WAIT_S, (due_ns - perf_counter_ns()) / _SECOND_NS)
            if wait_s > 0:
                break
            self.issue(due_ns)
        # epoll counts in milliseconds; select on the epoll descriptor in microseconds.
        select.select([self.selector.fileno()], [], [], max(0.0, wait_s))
        for key, events in self.selector.select(0):
            key.data.handle(events)

    def scan(self, now: int) -> None:
        """End what has waited too long."""
        oldest = now - int(self.plan.timeout_s * _SECOND_NS)
        for connection in self.clients:
            if connection.index >= 0 and connection.scheduled_ns < oldest:
                connection.fail(TIMEOUT)

    def forget_delays_after_clock_step(self) -> None:
        """Someone set the wall clock meanwhile: no own delay is known."""
        if abs(_unix_offset_ns() - self.offset_ns) > _CLOCK_STEP_NS:
            for index in range(len(self.columns.own_delay)):
                self.columns.own_delay[index] = 0

    def encoded(self) -> bytes:
        """Return the result as the parent reads it."""
        summary = {
            "connections": self.connections,
            "bytes": self.bytes_received,
            "gave_up": self.gave_up,
        }
        start = min(self.plan.warmup, self.issued)
        return encode(summary, self.ids, self.columns, start, self.issued)


class Parent:
    """Stands in the selector for stdin: its end is ours."""

    def handle(self, _events: int) -> None:
        """Leave if nobody is there to read the result."""
        if not os.read(0, 1):
            os._exit(1)


def _width(plan: LoadPlan) -> int:
    if plan.rate:
        return _OPEN_LOOP_CONNECTIONS
    return min(plan.concurrency, plan.warmup + plan.requests)


def _request_parts(plan: LoadPlan) -> tuple[list[bytes], bytes]:
    """Return what comes before the ids, for each target, and what comes after them."""
    given = {name.lower() for name, _ in plan.headers}
    lines = [
        f"{name}: {value}"
        for name, value in plan.headers
        if name.lower() not in {"traceparent", "connection", "content-length"}
    ]
    if "host" not in given:
        lines.append(f"Host: {plan.host}:{plan.port}")
    if plan.body or plan.method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(plan.body)}")
    lines += [f"Connection: {plan.connection}", "traceparent: 00-"]
    rest = "\r\n".join(lines)
    heads = [f"{plan.method} {target} HTTP/1.1\r\n{rest}".encode() for target in plan.targets]
    return heads, b"-01\r\n\r\n" + plan.body


def _unix_offset_ns() -> int:
    """Return wall clock minus CLOCK_MONOTONIC, from the tightest of several readings."""
    readings = []
    for _ in range(16):
        before = perf_counter_ns()
        wall = time.time_ns()
        after = perf_counter_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


def main() -> None:
    """Read the plan, run it, write the result."""
    plan = LoadPlan.from_json(sys.stdin.buffer.readline().decode())
    with suppress(OSError):  # timers fire when due, not up to 50 µs later
        Path("/proc/self/timerslack_ns").write_text("1")
    driver = Driver(plan)
    driver.selector.register(0, selectors.EVENT_READ, Parent())
    gc.disable()
    driver.run()
    sys.stdout.buffer.write(driver.encoded())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
