"""Takes timelines from the rings of a directory and has them recorded."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracer.agent.live import snapshot
from tracer.agent.worker_ring import WorkerRing, location_of
from tracer.ring.directory import is_inhabited
from tracer.ring.layout import RingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.agent.worker_ring import Batch
    from tracer.export.channel import Channel
    from tracer.recording.writer import RecordingWriter

_ROUNDS: Final = 32
_BATCH: Final = 1024 * 1024
_AT_ONCE: Final = 4 * 1024 * 1024
_CARE_S: Final = 1.0
_PATIENCE_S: Final = 1.0


class Agent:
    """The rings of one directory, and the recording they go into.

    A batch is written and committed first; only then is its room in the ring given back.
    So an agent that is killed at any moment loses nothing and records nothing twice, and
    a recording that can't be written leaves its timelines where they are, until the
    worker has no room for more and counts them as dropped.
    """

    def __init__(
        self,
        recording: RecordingWriter,
        directory: Path,
        say: Callable[[str], None],
        channel: Channel | None = None,
    ) -> None:
        """Serve the rings in `directory`; `say` takes lines about what went wrong.

        What is recorded is offered to `channel`, which exports it.
        """
        self._recording = recording
        self._channel = channel
        self._exported: dict[str, Any] | None = None
        self._directory = directory
        self._say = say
        self._rings: dict[str, WorkerRing] = {}
        self._refused: set[str] = set()
        self._accounted: dict[str, int] = {}
        self._seen_ns = 0
        self._care_at = 0.0
        self._retry_at = 0.0
        self._recorded = self._gone_dropped = 0
        self._drained_ns = self._turn = 0
        self.failure: str | None = None

    def drain(self) -> int:
        """Write what the rings hold, or a good part of it; return how many frames there were."""
        moment = time.monotonic()
        if moment < self._retry_at:
            return 0
        count = 0
        if moment >= self._care_at:
            self._care_at = moment + _CARE_S
            self._take_care()
        for _ in range(_ROUNDS):
            self._find_rings()
            taken = self._round()
            count += taken
            if not taken and not self._part_with_superseded():
                break
        return count

    def live(self) -> dict[str, Any]:
        """Return what is concluded so far."""
        return snapshot(self._recording.tallies, self._recording.lag)

    def is_needed(self) -> bool:
        """Say whether a process is there that may hand something over."""
        self._find_rings()
        return is_inhabited(self._directory) or any(
            ring.reader.is_written() for ring in self._rings.values()
        )

    @property
    def behind(self) -> int:
        """How many bytes wait in the rings."""
        bytes_behind = 0
        for ring in self._rings.values():
            with contextlib.suppress(RingError, OSError):
                bytes_behind += ring.reader.behind
        return bytes_behind

    def status(self) -> dict[str, Any]:
        """Return how it goes, for `tracer doctor`."""
        idle_ns = time.monotonic_ns() - self._drained_ns
        return {
            "workers": len(self._rings),
            "behind_bytes": self.behind,
            "lag": self._recording.lag,
            "recorded": self._recorded,
            "dropped": self._gone_dropped
            + sum(one.settled.last - one.settled.kept for one in self._rings.values()),
            "last_drain_ns_ago": idle_ns if self._drained_ns else None,
            "failure": self.failure,
            "export": self._channel.status() if self._channel is not None else None,
        }

    def _round(self) -> int:
        """Write one batch of each ring in one transaction."""
        begun: list[tuple[WorkerRing, Batch]] = []
        count = taken = 0
        try:
            self._recording.begin()
            for name, ring in self._in_turn():
                batch = self._look(name, ring)
                if batch is None:
                    continue
                begun.append((ring, batch))
                taken += sum(len(frame) for _, frame in batch.frames)
                self._write(ring, batch)
                if self._channel is None:
                    begun[-1] = (ring, replace(batch, frames=()))
                count += len(batch.frames)
                if taken > _AT_ONCE:
                    break
            safe = self._recording.commit()
        except (sqlite3.Error, OSError) as error:
            self._put_off(str(error), begun)
            return 0
        if not safe:
            self._put_off("there is no room, or somebody has locked it", begun)
            return 0
        for ring, batch in begun:
            self._recorded += batch.progress.kept - ring.settled.kept
            self._settle(ring, batch)
            if self._channel is not None:
                counts = {**batch.counts, "dropped": batch.dropped}
                self._channel.offer(
                    ring.name, ring.worker.description, batch.names, batch.frames, counts
                )
        if self.failure is not None:
            self._say("the recording can be written again")
            self.failure = None
        self._drained_ns = time.monotonic_ns()
        return count

    def _in_turn(self) -> list[tuple[str, WorkerRing]]:
        """Begin with another ring each time, so that the last one has its turn too."""
        every = list(self._rings.items())
        self._turn = (self._turn + 1) % max(len(every), 1)
        return every[self._turn :] + every[: self._turn]

    def _look(self, name: str, ring: WorkerRing) -> Batch | None:
        try:
            return ring.look(self._recording.known_names(name), _BATCH)
        except (RingError, OSError) as error:
            self._give_up(ring, error)
            return None

    def _write(self, ring: WorkerRing, batch: Batch) -> None:
        self._recording.worker(ring.name, ring.worker.description, batch.dropped, batch.counts)
        if batch.names:
            self._recording.names(ring.name, list(batch.names))
        for kind, frame in batch.frames:
            self._recording.frame(ring.name, kind, frame)
        self._recording.advance(ring.name, batch.progress)

    def _settle(self, ring: WorkerRing, batch: Batch) -> None:
        try:
            ring.settle(batch)
        except (RingError, OSError) as error:
            self._give_up(ring, error)

    def _put_off(self, reason: str, begun: list[tuple[WorkerRing, Batch]]) -> None:
        """Keep all in the rings until the recording can be written again."""
        self._recording.rollback()
        for ring, _ in begun:
            ring.undo()
        if self.failure is None:
            self._say(f"the recording cannot be written ({reason})")
        self.failure = reason
        self._retry_at = time.monotonic() + _PATIENCE_S

    def _give_up(self, ring: WorkerRing, error: Exception) -> None:
        """Leave a damaged ring, with the account of what is lost in it."""
        self._say(f"{error}; its worker goes on in another ring")
        progress = ring.give_up()
        self._account(ring, progress.last)
        self._part(ring)
        try:
            dropped = progress.last - progress.kept
            self._recording.worker(
                ring.name, ring.worker.description, dropped, ring.worker.counters
            )
            self._recording.advance(ring.name, progress)
        except (sqlite3.Error, OSError) as failure:
            self._say(f"what {ring.name} lost is not recorded ({failure})")

    def _take_care(self) -> None:
        """See to rings whose worker has ended, or that somebody removed; note what is exported."""
        export = self._channel.status() if self._channel is not None else None
        if export != self._exported:
            self._exported = export
            self._recording.note("export", export)
        for ring in list(self._rings.values()):
            try:
                if ring.is_over() and not ring.reader.behind:
                    self._finish(ring)
                elif not ring.reader.is_linked():
                    ring.reader.ask_for_another()
            except (RingError, OSError) as error:
                self._give_up(ring, error)

    def _part_with_superseded(self) -> bool:
        """Take leave of rings that were drained and whose worker has another; True if any."""
        over = [ring for ring in self._rings.values() if ring.superseded]
        for ring in over:
            self._finish(ring)
        return bool(over)

    def _finish(self, ring: WorkerRing) -> None:
        """One more look after the last one: what came in between is not lost."""
        batch = self._look(ring.name, ring)
        if batch is not None or ring.name not in self._rings:
            ring.undo()
            return
        self._account(ring, ring.settled.last)
        self._part(ring)

    def _account(self, ring: WorkerRing, last: int) -> None:
        self._accounted[ring.process] = max(last, self._accounted.get(ring.process, 0))
        self._gone_dropped += last - ring.settled.kept

    def _part(self, ring: WorkerRing) -> None:
        del self._rings[ring.name]
        self._seen_ns = 0
        ring.remove()

    def _find_rings(self) -> None:
        """Open what is new; the next ring of a process only when its former one is done with."""
        try:
            changed_ns = self._directory.stat().st_mtime_ns
            if changed_ns == self._seen_ns and time.time_ns() - changed_ns > _CARE_S * 1e9:
                return
            names = [entry.name for entry in os.scandir(self._directory)]
        except OSError:
            return
        self._seen_ns = changed_ns
        serving = {ring.process: ring for ring in self._rings.values()}
        for name in sorted(names, key=location_of):
            if not name.endswith(".ring") or name in self._refused or name in self._rings:
                continue
            former = serving.get(location_of(name)[0])
            if former is not None:
                former.superseded = True
                continue
            ring = self._open(name)
            if ring is not None:
                serving[ring.process] = self._rings[name] = ring

    def _open(self, name: str) -> WorkerRing | None:
        process, number = location_of(name)
        before = self._accounted.get(process, 0)
        if number and not before:
            former = self._recording.progress(f"{process}-{number - 1}.ring")
            before = former[2] if former else 0
        try:
            return WorkerRing(Path(self._directory, name), self._recording.progress(name), before)
        except (RingError, OSError) as error:
            self._say(str(error))
            self._refused.add(name)
            return None
