"""The agent's end: hands timelines to the exporting process, and sheds what it can't take."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tracer.export import messages
from tracer.model.frames import TIMELINE
from tracer.settings.otlp import CONSOLE, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_MOST: Final = 8 << 20
"""Bytes of frames that wait for the exporting process; what comes then is shed, whole."""

_TOGETHER: Final = 1 << 18
_LONGEST_PAUSE_S: Final = 30.0
_TALLIES: Final = (
    *("exported_traces", "exported_spans", "failed_traces", "failed_spans"),
    "shed_traces",
)
_SETTLED: Final = ("exported_traces", "failed_traces", "shed_traces")


class Channel:
    """Never waits: what the exporting process doesn't take in time is counted and forgotten.

    The process is started by a thread of its own and started again when it was killed.
    """

    def __init__(self, environ: Mapping[str, str], console: Path | None = None) -> None:
        """Export as this environment asks for; what is printed is appended to `console`."""
        self._environ = {**environ, CONSOLE: str(console or os.devnull)}
        self._changed = threading.Condition()
        self._waiting: deque[messages.Message] = deque()
        self._bytes = 0
        self._described: dict[int, Any] = {}
        self._named: dict[int, list[str]] = {}
        self._counted: dict[int, Mapping[str, int]] = {}
        self._exports_spans = read_settings(environ)[0] is not None
        self._metrics: dict[str, Any] | None = None
        self._numbers: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._sent = self._shed = 0
        self._before = dict.fromkeys(_TALLIES, 0)
        self._now = dict.fromkeys(_TALLIES, 0)
        self._error: str | None = None
        self._ending = self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offer(
        self,
        ring: str,
        description: Mapping[str, Any],
        names: Sequence[str],
        frames: Iterable[tuple[int, bytes]],
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Take what came of a worker; its names come before the frames that use them.

        `counts` is what it counted so far.
        """
        number = self._numbers.setdefault(ring, len(self._numbers) + 1)
        with self._changed:
            if self._described.get(number) != description:
                self._described[number] = description
                self._add(messages.description(number, description))
            if names:
                self._named.setdefault(number, []).extend(names)
                self._add(messages.names(number, list(names)))
            if counts is not None:
                self._count(number, counts)
            for kind, frame in frames:
                if kind not in messages.FRAMES:
                    continue
                if self._bytes > _MOST:
                    self._shed += kind == TIMELINE
                else:
                    self._add(messages.Message(kind, number, frame))
            self._count(_AGENT, {"shed": self._shed})
            self._changed.notify_all()

    def status(self) -> dict[str, Any]:
        """Return how many traces were exported, failed, shed, and wait; and what went wrong."""
        with self._changed:
            found: dict[str, Any] = {
                name: self._before[name] + self._now[name] for name in _TALLIES
            }
            found |= {"metrics": self._metrics} if self._metrics is not None else {}
            queued = (
                sum(one.kind == TIMELINE for one in self._waiting) if self._exports_spans else 0
            )
            under_way = self._sent - sum(found[name] for name in _SETTLED)
            found["shed_traces"] += self._shed
            waiting = queued + max(under_way, 0)
            return {**found, "waiting": waiting, "error": self._error}

    def close(self, timeout_s: float) -> dict[str, Any]:
        """Have the rest exported if that is quick; return the last status."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            self._thread.join(1.0)
        with self._changed:
            self._settle()
            self._shed += sum(one.kind == TIMELINE for one in self._waiting)
            self._waiting.clear()
        return self.status()

    def _count(self, number: int, counts: Mapping[str, int]) -> None:
        if self._counted.get(number) != counts:
            self._counted[number] = counts
            self._add(messages.counts(number, counts))

    def _add(self, message: messages.Message) -> None:
        self._waiting.append(message)
        self._bytes += len(message.content)

    def _run(self) -> None:
        pause_s = 0.5
        while True:
            with self._changed:
                while not self._waiting and not self._ending:
                    self._changed.wait()
                if not self._waiting:
                    return
            began = time.monotonic()
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 - the agent goes on, whatever it is
                self._error = f"the exporting process cannot be reached ({error})"
            with self._changed:
                self._settle()
                if self._ending:
                    return
                if time.monotonic() - began > _LONGEST_PAUSE_S:
                    pause_s = 0.5
                self._changed.wait_for(lambda: self._ending, pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _settle(self) -> None:
        """What a process that has ended didn't report is lost."""
        reported = sum(self._now[name] for name in _SETTLED)
        before = sum(self._before[name] for name in _SETTLED)
        self._now["failed_traces"] += max(self._sent - before - reported, 0)
        for name, count in self._now.items():
            self._before[name] += count
        self._now = dict.fromkeys(_TALLIES, 0)

    def _serve(self) -> None:
        """Start the process and feed it for as long as it lives, or until the end."""
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "tracer.export.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environ,
            bufsize=0,
        )
        self._ended = False
        listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        listener.start()
        try:
            self._feed(process)
        finally:
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            process.wait()
            listener.join()

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None:
            raise OSError("no pipe")
        to = process.stdin.fileno()
        with self._changed:
            again = [messages.description(n, one) for n, one in self._described.items()]
            again += [messages.names(n, list(texts)) for n, texts in self._named.items()]
            again += [messages.counts(n, one) for n, one in self._counted.items()]
            # These are sent again: what waits of them would be sent twice.
            kept = [one for one in self._waiting if one.kind not in _SENT_AGAIN]
            self._waiting = deque([*again, *kept])
            self._bytes = sum(len(one.content) for one in self._waiting)
        while True:
            taken = self._take()
            if not taken:
                return
            content = memoryview(b"".join(one.packed() for one in taken))
            self._sent += sum(one.kind == TIMELINE for one in taken) if self._exports_spans else 0
            while content:
                content = content[os.write(to, content) :]

    def _take(self) -> list[messages.Message]:
        with self._changed:
            while not self._waiting and not self._ending and not self._ended:
                self._changed.wait()
            if self._ended:
                raise OSError("it has ended")
            taken: list[messages.Message] = []
            size = 0
            while self._waiting and size < _TOGETHER:
                taken.append(self._waiting.popleft())
                size += len(taken[-1].content)
            self._bytes -= size
            return taken

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            return
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                report = json.loads(line)
                with self._changed:
                    self._now = {name: int(report.get(name, 0)) for name in _TALLIES}
                    self._error, self._metrics = report["error"], report.get("metrics")
        with self._changed:
            self._ended = True
            self._changed.notify_all()


_SENT_AGAIN: Final = frozenset({messages.DESCRIPTION, messages.NAMES, messages.COUNTS})
_AGENT: Final = 0
