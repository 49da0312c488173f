"""A recording: one SQLite file with the marks of every request and all it takes to read them."""

from __future__ import annotations

import json
import time
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Self

from tracer.analysis.attribution.attribute import attribute
from tracer.analysis.attribution.blame import Blame
from tracer.analysis.attribution.client import widen
from tracer.analysis.shapes.occupancy import near
from tracer.analysis.statistics.measurement import SeamStatus
from tracer.analysis.statistics.overview import Overview
from tracer.model import frames
from tracer.recording.background import conclude_rest
from tracer.recording.file import RecordingError, check_file, connect, has_log, is_taken, reading
from tracer.recording.mark_reader import NEWEST, first_of, occupancy, timelines
from tracer.recording.recorded_worker import read_workers
from tracer.recording.selection import find, glances, pick
from tracer.recording.stacks import read_stacks, with_stacks
from tracer.recording.tallies import read_tallies
from tracer.recording.unpacked_cache import Unpacked
from tracer.recording.writer import RecordingWriter
from tracer.settings.rotation import Rotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from tracer.analysis.attribution.request import Client, Request
    from tracer.analysis.attribution.worker import Worker
    from tracer.analysis.shapes.tally_builder import Row
    from tracer.analysis.statistics.tally import Tallies
    from tracer.model.stackframes import Stacks
    from tracer.recording.packing import Timelines

__all__ = ["Recording", "RecordingError", "RecordingWriter", "Rotation"]

_CHANGING_S: Final = 2.0
_MOMENT_S: Final = 0.02


class Recording:
    """Reads a recording, also while it is being written."""

    def __init__(self, path: Path, *, check_complete: bool = True) -> None:
        """Open `path`; raise `RecordingError` for anything that isn't a whole recording."""
        self.path = path
        self._unpacked = Unpacked()
        self._rest: list[Row] = []
        deadline = time.monotonic() + _CHANGING_S
        while True:
            alive = is_taken(path)
            try:
                self._open(alive=alive, check_complete=check_complete)
            except RecordingError:
                # For a moment a writer that begins or ends it leaves it like a torn copy.
                if not alive or time.monotonic() > deadline:
                    raise
                time.sleep(_MOMENT_S)
            else:
                return

    def _open(self, *, alive: bool, check_complete: bool) -> None:
        check_file(self.path)
        logged = has_log(self.path)
        self._database = connect(self.path, logged=logged or alive)
        try:
            self._begin(logged=logged, check_complete=check_complete)
        except BaseException:
            self._database.close()
            raise

    def _begin(self, *, logged: bool, check_complete: bool) -> None:
        with reading(self.path):
            self._database.execute("BEGIN")
            rows = self._database.execute("SELECT key, value FROM meta")
            self.meta: dict[str, Any] = {key: json.loads(value) for key, value in rows}
            state = self.meta["state"]
        if check_complete and state != "closed" and not logged:
            raise RecordingError(
                f"{self.path}: a torn copy, taken while the recording was being written; "
                "copy it after its server has ended"
            )
        with reading(self.path):
            self._workers = read_workers(self._database)

    @property
    def open(self) -> bool:
        """Whether the recording has not been ended cleanly (yet)."""
        return bool(self.meta.get("state") != "closed")

    @property
    def environment(self) -> dict[str, Any]:
        """What the contract's `environment` says, from the workers' own words."""
        for worker in self._workers.values():
            if worker.environment:
                return dict(worker.environment)
        return {}

    @property
    def seams(self) -> tuple[SeamStatus, ...]:
        """The seams of all workers, each once; a refusal anywhere is shown."""
        found: dict[str, SeamStatus] = {}
        for worker in self._workers.values():
            for seam in worker.seams:
                status = SeamStatus(seam["seam"], seam["status"], seam.get("reason"))
                known = found.get(status.seam)
                if known is None or known.status == "installed":
                    found[status.seam] = status
        return tuple(found[name] for name in sorted(found))

    @property
    def dropped(self) -> int:
        """How many frames workers had no room for, and how many the disk had none for."""
        with reading(self.path):
            (dropped,) = self._database.execute("SELECT sum(dropped) FROM worker").fetchone()
            return int(dropped or 0) + int(self.meta.get("lost", 0))

    @property
    def counters(self) -> dict[str, int]:
        """What workers counted, all of them together: requests seen, sampled, kept, ..."""
        found: Counter[str] = Counter()
        with reading(self.path):
            for (text,) in self._database.execute("SELECT counters FROM worker"):
                found.update({str(name): int(n) for name, n in json.loads(text or "{}").items()})
        return dict(found)

    @property
    def workers(self) -> Mapping[int, Worker]:
        """The workers by number."""
        return self._workers

    @property
    def counts(self) -> dict[str, int]:
        """How many requests the workers saw, by `COUNTERS`; empty where they didn't count."""
        found = self.counters
        return {name: found.get(name, 0) for name in frames.COUNTERS if "seen" in found}

    def count(self) -> int:
        """Return how many requests are recorded."""
        with reading(self.path):
            (packed,) = self._database.execute("SELECT sum(count) FROM batch").fetchone()
            (apart,) = self._database.execute(
                "SELECT count(*) FROM pending WHERE kind = ?", (frames.TIMELINE,)
            ).fetchone()
            return int(packed or 0) + int(apart)

    def tallies(self) -> tuple[Tallies, int]:
        """Return what all requests come to, and how many of them this call had to conclude."""
        with reading(self.path):
            stored = read_tallies(self._database.execute("SELECT key, value FROM tally"))
            self._rest = conclude_rest(self._database, self._workers, stored, self.tallied)
            return stored, len(self._rest)

    def overview(self, route: str | None = None, *, stacked: bool = False) -> Overview:
        """Return when requests, all or those of a route or `stacked` ones, began and ended.

        Of what the agent had not concluded it knows what `tallies` did.
        """
        known = self.with_stacks() if stacked else None
        rest = [
            (number, row.start_ns, row.duration_ns, row.route)
            for number, row in enumerate(self._rest, self.tallied + 1)
            if (route is None or row.route == route)
            and (known is None or f"{row.request_id:016x}" in known)
        ]
        with reading(self.path):
            glanced = glances(self._database, self.tallied, route, stacked=bool(known))
            return Overview.of(chain(glanced if known != frozenset() else (), rest))

    def request(
        self, wanted: str, near_ns: int | None = None, route: str | None = None
    ) -> Request | None:
        """Return one request: by request or trace id, `slowest`, or `median` (near `near_ns`)."""
        with reading(self.path):
            number = find(self._database, wanted, near_ns, route, self.tallied)
        rest = [
            one for one in self.requests(after=self.tallied) if route is None or one.route == route
        ]
        found = None
        if number is not None:
            found = next(self.requests(after=number - 1, until=number), None)
        return pick([*([found] if found is not None else []), *rest], wanted, near_ns)

    def stacks(self, request_id: str) -> Stacks | None:
        """Return the Python stacks of a request, None where none were taken."""
        with reading(self.path):
            return read_stacks(self._database, request_id)

    def with_stacks(self) -> frozenset[str]:
        """Return the ids of the requests that have stacks."""
        with reading(self.path):
            return with_stacks(self._database)

    @property
    def tallied(self) -> int:
        """How many requests the stored conclusions are of."""
        return int(self.meta.get("tallied", 0))

    @property
    def attribution(self) -> int | None:
        """Which version of attribution the stored conclusions are of, None without any."""
        found = self.meta.get("attribution")
        return None if found is None else int(found)

    def requests(
        self,
        clients: Mapping[str, Client] | None = None,
        network_floor_ns: int | None = None,
        *,
        after: int = 0,
        until: int = NEWEST,
    ) -> Iterator[Request]:
        """Give every request, attributed; with `clients` (by trace id) theirs, on their clock.

        `after` and `until` are ids of timelines: the first is 1, in the order they ended.
        """
        for first, found in self._timelines(after):
            if first > until:
                return
            with reading(self.path):
                heads = [frames.decode_head(head) for head in found.heads]
                busy = self._busy(found, heads, clients)
            for place, (head, number) in enumerate(zip(heads, found.workers, strict=True)):
                if not after < first + place <= until:
                    continue
                client = clients.get(f"{head.trace_id:032x}") if clients is not None else None
                if clients is not None and client is None:
                    continue
                with reading(self.path):
                    request = self._attributed(
                        head, found.marks_of(place), number, busy, (client, network_floor_ns)
                    )
                yield request

    def _attributed(
        self,
        head: frames.Head,
        marks: Any,
        number: int,
        busy: Mapping[int, Any],
        seen: tuple[Client | None, int | None],
    ) -> Request:
        worker, (client, floor_ns) = self._workers[number], seen
        since = min(head.start_ns, client.send_ns) if client else head.start_ns
        entries = [frames.Busy(*one) for one in near(busy[number], since, head.finish_ns).tolist()]
        request = attribute(head, [tuple(mark) for mark in marks.tolist()], worker, entries)
        if client is None:
            return request
        earlier = Blame(entries, head.sequence, worker.names).everywhere()
        return widen(request, client, earlier, floor_ns or 0)

    def _busy(
        self, found: Timelines, heads: list[frames.Head], clients: Mapping[str, Client] | None
    ) -> dict[int, Any]:
        """Return what each worker ran around some timelines."""
        spans: dict[int, tuple[int, int]] = {}
        for number, head in zip(found.workers, heads, strict=True):
            client = clients.get(f"{head.trace_id:032x}") if clients else None
            start = min(head.start_ns, client.send_ns) if client else head.start_ns
            low, high = spans.get(number, (start, head.finish_ns))
            spans[number] = (min(low, start), max(high, head.finish_ns))
        return {
            number: occupancy(self._database, number, low, high, self._unpacked)
            for number, (low, high) in spans.items()
        }

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _timelines(self, after: int) -> Iterator[tuple[int, Timelines]]:
        with reading(self.path):
            first = first_of(self._database, after)
            stream = timelines(self._database, first)
        while True:
            with reading(self.path):
                found = next(stream, None)
            if found is None:
                return
            yield found
