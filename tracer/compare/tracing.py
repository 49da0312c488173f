"""What an experiment needs of the agent and the recording, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tracer.analysis.attribution.request import Client, Request
    from tracer.analysis.statistics.measurement import SeamStatus
    from tracer.model.stackframes import Stacks


class Session(Protocol):
    """A running agent: makes servers traced, and what they finished readable."""

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of a traced server process."""

    def sync(self) -> None:
        """Make everything finished so far readable."""


class Reader(Protocol):
    """A recording that is open for reading."""

    @property
    def environment(self) -> dict[str, Any]:
        """Versions and switches of the traced processes."""

    @property
    def seams(self) -> tuple[SeamStatus, ...]:
        """What was patched and what was not."""

    @property
    def dropped(self) -> int:
        """How many timelines were lost."""

    def requests(
        self, clients: Mapping[str, Client] | None, network_floor_ns: int | None
    ) -> Iterator[Request]:
        """Yield attributed requests, joined with the client's stamps by trace id."""

    def stacks(self, request_id: str) -> Stacks | None:
        """Return the Python stacks of a request, None where none were taken."""


class OpenSession(Protocol):
    """Starts an agent that writes a recording."""

    def __call__(
        self, recording: Path, *, policy: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Session]:
        """`policy` are variables for the servers; without it every request is recorded."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """The two doors to the traced side; the caller has them, for the agent is our neighbour."""

    open_session: OpenSession
    read: Callable[[Path], AbstractContextManager[Reader]]
