"""Load on one address: what is asked of it, and what the client saw.

The client is a process of its own, so that nothing here delays its clock.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tracer.analysis.attribution.request import Client
from tracer.compare.children import Child, end_child, start_child
from tracer.compare.wire import ERRORS, TRACE_ID_BYTES, decode

Connection = Literal["keep-alive", "close"]
SERVER_ERROR = 500
_TARGET = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\r\n\0]*")


class LoadError(Exception):
    """The load client itself failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One stretch of load. Closed loop by `concurrency`, open loop where `rate` is set.

    `targets` are used in turn. `warmup` requests go first and are not reported.
    `max_seconds` ends the stretch early. `timeout_s` bounds each request, in the
    open loop from its scheduled instant on.
    """

    port: int
    host: str = "127.0.0.1"
    targets: tuple[str, ...] = ("/",)
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    requests: int = 100
    warmup: int = 0
    concurrency: int = 1
    rate: float | None = None
    connection: Connection = "keep-alive"
    timeout_s: float = 30.0
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what can't be sent or would never end."""
        checks = (
            (bool(self.targets), "there is no path to request"),
            (all(map(_TARGET.fullmatch, self.targets)), "a path must be ASCII and start with /"),
            (bool(_TOKEN.fullmatch(self.method)), f"{self.method!r} is no HTTP method"),
            (all(_TOKEN.fullmatch(name) for name, _ in self.headers), "a header's name is invalid"),
            (
                all(_VALUE.fullmatch(text) for _, text in self.headers),
                "a header's value is invalid",
            ),
            (self.requests >= 1, "requests must be at least 1"),
            (self.warmup >= 0, "warmup must not be negative"),
            (self.concurrency >= 1, "concurrency must be at least 1"),
            (self.rate is None or self.rate > 0, "rate must be positive"),
            (self.timeout_s > 0, "timeout must be positive"),
        )
        for holds, message in checks:
            if not holds:
                raise ValueError(message)

    def to_json(self) -> str:
        """Return the plan as the one line the client reads."""
        fields = asdict(self)
        fields["body"] = base64.b64encode(self.body).decode()
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> LoadPlan:
        """Return what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(line)
        fields["body"] = base64.b64decode(fields["body"])
        fields["targets"] = tuple(fields["targets"])
        fields["headers"] = tuple((name, value) for name, value in fields["headers"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and its answer on CLOCK_MONOTONIC; without an answer, `status` is None.

    `send_ns` is just before the connection is opened or, on a kept one, just
    before the send. `scheduled_ns` differs from it in the open loop only.
    """

    trace_id: str
    scheduled_ns: int
    send_ns: int
    first_byte_ns: int
    last_byte_ns: int
    own_delay_ns: int
    status: int | None
    error: str | None
    new_connection: bool

    @property
    def latency_ns(self) -> int:
        """From the instant it was due to the last byte; queueing is in it."""
        return self.last_byte_ns - self.scheduled_ns

    def client(self) -> Client:
        """Return what the client saw, for attribution."""
        return Client(self.send_ns, self.first_byte_ns, self.last_byte_ns, self.own_delay_ns)

    @property
    def failed(self) -> bool:
        """Whether there was no answer or one of status 500 and above."""
        return self.status is None or self.status >= SERVER_ERROR


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Every request that was issued, in the order of issue. `gave_up`: the server was gone."""

    answers: tuple[Answer, ...]
    connections: int
    bytes_received: int
    gave_up: bool

    @property
    def latencies_ns(self) -> tuple[int, ...]:
        """Latencies of the answers below 500."""
        return tuple(one.latency_ns for one in self.answers if not one.failed)

    @property
    def error_latencies_ns(self) -> tuple[int, ...]:
        """Latencies of the answers of 500 and above, kept apart."""
        return tuple(
            one.latency_ns for one in self.answers if one.failed and one.status is not None
        )

    @property
    def errors(self) -> int:
        """How many requests failed."""
        return sum(one.failed for one in self.answers)


def run_load(plan: LoadPlan) -> LoadResult:
    """Drive the load from a process of its own and return what it saw.

    Raise LoadError where the client itself fails; on Ctrl-C the client is ended
    and KeyboardInterrupt passes.
    """
    with tempfile.TemporaryFile() as complaints:
        child = start_child("tracer.compare.client", stderr=complaints)
        try:
            output = _converse(child, plan.to_json())
            code = child.wait()
        finally:
            end_child(child)
        if code:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").strip().splitlines()
            raise LoadError(f"the load client failed: {lines[-1] if lines else f'exit {code}'}")
    return _result(output)


def _converse(child: Child, line: str) -> bytes:
    if child.stdin is None or child.stdout is None:  # pragma: no cover - both are pipes
        raise LoadError("the load client has no pipes")
    try:
        child.stdin.write(line.encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:  # it is gone: its exit code says more
        return b""
    return child.stdout.read()


def _result(output: bytes) -> LoadResult:
    try:
        summary, ids, columns = decode(output)
    except (ValueError, KeyError) as error:
        raise LoadError(f"the load client's result can't be read: {error}") from error
    width, digits = 2 * TRACE_ID_BYTES, ids.hex()
    answers = tuple(
        Answer(
            digits[number * width : (number + 1) * width],
            scheduled,
            send,
            first,
            last,
            own_delay,
            status or None,
            ERRORS[error],
            bool(fresh),
        )
        for number, (scheduled, send, first, last, own_delay, status, error, fresh) in enumerate(
            columns.rows()
        )
    )
    return LoadResult(answers, summary["connections"], summary["bytes"], summary["gave_up"])


def on_port(plan: LoadPlan, port: int) -> LoadPlan:
    """Return the same load for another port of the same host."""
    return replace(plan, port=port)
