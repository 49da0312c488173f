"""What an A/B run compares, and under which load."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tracer.compare.load import LoadPlan

_WARMUP_CONCURRENCY: Final = 8
_WARMUP_SECONDS: Final = 5.0
_FLOOR_REQUESTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Configuration:
    """One server command under a name. `shown` stands for it in reports, if given."""

    name: str
    command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What to compare and how long. `load` is one round's; its port is not used.

    `record_directory` keeps one `<name><suffix>.tracer` a configuration. `flame` are the
    variables of servers that take stacks, after the rounds; without any there are none.
    """

    configurations: tuple[Configuration, ...]
    load: LoadPlan
    rounds: int = 10
    warmup_requests: int = 80
    floor_requests: int = _FLOOR_REQUESTS
    include_errors: bool = False
    record_directory: Path | None = None
    suffix: str = ""
    ready_timeout_s: float = 60.0
    flame: Mapping[str, str] = field(default_factory=dict)

    def spread(self) -> LoadPlan:
        """Return the load that reaches every worker: many connections, each a new one."""
        return replace(
            self.load,
            requests=self.warmup_requests,
            warmup=0,
            rate=None,
            max_seconds=_WARMUP_SECONDS,
            connection="close",
            concurrency=max(_WARMUP_CONCURRENCY, self.load.concurrency),
        )
