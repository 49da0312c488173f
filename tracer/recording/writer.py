"""Writes recordings: raw marks first, conclusions beside them when there is time.

While it is written a recording is in WAL mode, so it can be read in place; a clean end
folds everything into the one file, which can then be copied anywhere.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final, Self

from tracer.model import frames
from tracer.recording.file import has_log, read_meta
from tracer.recording.lifecycle import create, make_way, rotated, rows, take_up
from tracer.recording.mark_writer import Marks
from tracer.recording.recorded_worker import RecordedWorker, read_recorded_workers
from tracer.settings.rotation import Rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tracer.analysis.statistics.tally import Tallies
    from tracer.recording.background import Conclusions

_PATIENCE_S: Final = 10.0
_HELD: Final = 8 << 20
_ENDING_S: Final = 10.0
_ROTATING_S: Final = 1.0
_CHECKED_EVERY_S: Final = 1.0
_AGAIN_S: Final = 1.0
_LASTING: Final = ("command", "rotations")


class RecordingWriter:
    """Writes a new recording; one transaction per batch.

    A disk that is full stops nothing: what can't be written is held, as far as 8 MB go,
    then lost and counted; when there is room again, the rest is written.
    """

    def __init__(
        self,
        path: Path,
        meta: Mapping[str, Any],
        rotation: Rotation | None = None,
        *,
        conclude: bool = True,
    ) -> None:
        """Create `path`, replacing a recording that is there; nothing else is replaced."""
        self._begin(path, meta, rotation, conclude=conclude)
        make_way(path)
        self._create()

    def _begin(
        self, path: Path, meta: Mapping[str, Any], rotation: Rotation | None, *, conclude: bool
    ) -> None:
        self._path, self._rotation = path, rotation or Rotation()
        self._meta, self._concludes = dict(meta), conclude
        self._workers: dict[str, RecordedWorker] = {}
        self._new: list[tuple[int, int, bytes]] = []
        self._held = self._lost = self._told_lost = 0
        self._conclusions: Conclusions | None = None
        self._marks, self._began = Marks.none(keep=conclude), time.monotonic()
        self._checked = self._again = 0.0

    @classmethod
    def reopen(
        cls,
        path: Path,
        meta: Mapping[str, Any],
        rotation: Rotation | None = None,
        *,
        conclude: bool = True,
    ) -> Self:
        """Continue a recording that is there, as its last writer left it."""
        there = read_meta(path)
        self = cls.__new__(cls)
        lasting: dict[str, Any] = {name: there[name] for name in _LASTING if name in there}
        self._begin(path, {**lasting, **meta}, rotation, conclude=conclude)
        self._began -= max(time.time() - there["began_unix_ns"] / 1e9, 0)
        self._resume()
        self._workers = read_recorded_workers(self._database)
        self._marks = Marks.resumed(self._database, self._marks.unpacked)
        if conclude:
            from tracer.recording.background import Conclusions

            self._conclusions = Conclusions.resumed(self._database)
        self._set_meta(meta)
        return self

    def _resume(self) -> None:
        self._database = take_up(self._path)
        self.note("state", "open")

    def begin(self) -> None:
        """Begin a batch, after the last one is known to be safe: here recordings change."""
        moment = time.monotonic()
        if self._new or moment < self._again or moment - self._checked <= _CHECKED_EVERY_S:
            return
        self._checked = moment
        any_yet = self._marks.packed or self._marks.newest
        if any_yet and self._rotation.is_due(self._path, moment - self._began):
            self._rotate()

    def commit(self) -> bool:
        """Make the batch readable; what there is no room for waits for a while.

        Say whether all that was handed over is safe.
        """
        if time.monotonic() < self._again:
            return False
        return self._flush()

    def rollback(self) -> None:
        """Forget what isn't safe: whoever handed it over has it still."""
        self._new, self._held = [], 0
        for one in self._workers.values():
            one.progress = one.safe

    def progress(self, ring: str) -> tuple[int, int, int] | None:
        """Return how far a ring has been read: position, timelines kept, last number."""
        return self._workers[ring].progress if ring in self._workers else None

    def advance(self, ring: str, progress: tuple[int, int, int]) -> None:
        """Note how far a ring has been read, in the batch at hand."""
        one = self._workers[ring]
        one.progress, one.changed = (progress[0], progress[1], progress[2]), True

    def _flush(self) -> bool:
        changed = [one for one in self._workers.values() if one.changed]
        if self._new or changed or self._lost != self._told_lost:
            if self._guarded(self._write):
                self._new, self._held, self._told_lost = [], 0, self._lost
                for one in changed:
                    one.wrote()
                return True
            return False
        if self._marks.newest and time.monotonic() - self._marks.since_s > _PATIENCE_S:
            self._guarded(self._pack)
        return True

    def worker(
        self,
        ring: str,
        description: Mapping[str, Any],
        dropped: int,
        counters: Mapping[str, int] | None = None,
    ) -> None:
        """Note or update what is known of a worker; its counters only grow."""
        one = self._workers.get(ring)
        if one is None:
            one = self._workers[ring] = RecordedWorker(len(self._workers) + 1)
        known = one.worker.described(dict(description))
        one.learn(known.counted({**(counters or {}), "dropped": dropped}))

    def known_names(self, ring: str) -> int:
        """Return how many of a worker's names are known already."""
        return len(self._workers[ring].worker.names) if ring in self._workers else 0

    def names(self, ring: str, names: Sequence[str]) -> None:
        """Append to a worker's name table."""
        one = self._workers[ring]
        one.learn(one.worker.named(names))

    def frame(self, ring: str, kind: int, frame: bytes) -> None:
        """Take one frame of a worker."""
        if self._held > _HELD:
            self._lost += 1
            return
        one = self._workers[ring]
        if kind == frames.OCCUPANCY:
            one.recent.append(frame)
        self._held += len(frame)
        self._new.append((kind, one.number, frame))

    def conclude(self, seconds: float, *, ending: bool = False) -> bool:
        """Attribute what is packed, for so long at most; say whether there may be more."""
        if not self._concludes or time.monotonic() < self._again:
            return False
        from tracer.recording.background import Conclusions

        one = self._conclusions = self._conclusions or Conclusions()
        deadline, more = time.monotonic() + seconds, True
        while more and time.monotonic() < deadline:
            more = self._guarded(lambda: self._step(one, ending=ending))
            if more:
                more = one.written()
        if self._guarded(lambda: one.save(self._database, now=ending)):
            one.saved()
        return more

    def _step(self, one: Conclusions, *, ending: bool) -> None:
        workers = {known.number: known.worker for known in self._workers.values()}
        one.step(self._database, workers, self._marks.unpacked, ending=ending)

    @property
    def tallies(self) -> Tallies | None:
        """What was concluded of this recording so far, None before anything was."""
        return self._conclusions.tallies if self._conclusions is not None else None

    @property
    def lag(self) -> int:
        """How many recorded requests aren't concluded yet."""
        done = self._conclusions.concluded if self._conclusions else 0
        return self._marks.packed + len(self._marks.newest) - done

    def note(self, name: str, what: object) -> None:
        """Keep a word about the recording as a whole."""
        self._guarded(lambda: self._set_meta({name: what}))

    def close(self) -> None:
        """End cleanly: fold everything into the one file."""
        self._end(_ENDING_S)

    def _create(self) -> None:
        self._database, self._marks = (
            create(self._path, self._meta),
            Marks.none(keep=self._concludes),
        )
        self._began = self._checked = time.monotonic()

    def _guarded(self, write: Callable[[], object]) -> bool:
        """Do one transaction; where the disk has no room, as if it hadn't begun."""
        marks = self._marks
        try:
            self._database.execute("BEGIN IMMEDIATE")
            write()
            self._database.execute("COMMIT")
        except sqlite3.DatabaseError:
            self._again = time.monotonic() + _AGAIN_S
            self._marks = marks
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            return False
        return True

    def _write(self) -> None:
        for ring, one in self._workers.items():
            if one.changed:
                one.write(self._database, ring)
        if self._lost:
            self._set_meta({"lost": self._lost})
        self._marks = self._marks.add(self._database, self._new)

    def _pack(self) -> None:
        self._marks = self._marks.pack(self._database)

    def _rotate(self) -> None:
        """End this recording under another name and begin the next one, if there is room."""
        if not self._end(_ROTATING_S):
            self._resume()
            return
        self._meta["rotations"], target = rotated(self._path, self._meta.get("rotations", 0) + 1)
        self._path.rename(target)
        try:
            self._create()
        except (sqlite3.Error, OSError):
            target.replace(self._path)
            self._resume()
            return
        self._conclusions = self._conclusions.next() if self._conclusions is not None else None
        self._lost = self._told_lost = 0
        for one in self._workers.values():
            one.restart()
        # What was going on when the last one ended is needed by the first of the next.
        self._new = [
            (frames.OCCUPANCY, one.number, frame)
            for one in self._workers.values()
            for frame in one.recent
        ]
        self._flush()  # how far each ring was read goes along at once

    def _end(self, seconds: float) -> bool:
        """Pack and conclude what there is time for, and fold the log in; say whether it went."""
        self._flush()
        self._again = 0.0
        if self._marks.newest or self._marks.busy:
            self._guarded(self._pack)
        self.conclude(seconds, ending=True)
        # Once the log is folded in, there is room for the word that this is the end.
        self._fold_in()
        lost = self._lost + len(self._new)
        whole = self._guarded(lambda: self._set_meta({"state": "closed", "lost": lost}))
        self._fold_in()
        with contextlib.suppress(sqlite3.Error):
            self._database.execute("PRAGMA journal_mode=DELETE")
        self._database.close()
        return whole and not self._new and not has_log(self._path)

    def _fold_in(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _set_meta(self, meta: Mapping[str, Any]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows(meta))
