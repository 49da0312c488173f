"""Children that serve in turns on one core, a batch at a time, so that all see the same machine."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import ROOT
from benchmarks.stats import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PATIENCE_S: Final = 120.0


class ChildError(Exception):
    """A child that ended or hangs; the message is the last line it wrote."""


class Child:
    """A process that serves when asked and is stopped while others are.

    Stopped, because a peer's exporting threads would else run in another's turn.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        python: str = sys.executable,
    ) -> None:
        """Start it; it inherits the cores of this process."""
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(ROOT))))
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.child", *arguments],
                cwd=ROOT,
                env={**environment, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def begin(self) -> dict[str, Any]:
        """Wait until it can serve, stop it, return what it said of itself."""
        try:
            return self._answer()
        finally:
            self._signal(signal.SIGSTOP)

    def ask(self, task: str, count: int) -> dict[str, Any]:
        """Have it do one task while it is the only one that runs."""
        stdin = self._process.stdin
        assert stdin is not None
        self._signal(signal.SIGCONT)
        try:
            stdin.write(f"{task} {count}\n".encode())
            stdin.flush()
            return self._answer()
        except BrokenPipeError as error:
            raise ChildError(self._last_words()) from error
        finally:
            self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """Kill it: what it holds is of no use to anyone."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], PATIENCE_S)
        line = stdout.readline() if ready else b""
        if not line:
            raise ChildError(self._last_words())
        found: dict[str, Any] = json.loads(line)
        return found

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"no answer within {PATIENCE_S:g} s"


def drive(
    children: Mapping[str, Child], *, rounds: int, batch: int, warmup: int
) -> tuple[dict[str, Series], dict[str, str]]:
    """Have all serve a batch in every round, forwards and backwards in turn.

    Return the series of those that served all of them, and what stopped the others.
    """
    found: dict[str, list[tuple[list[float], float]]] = {name: [] for name in children}
    failed: dict[str, str] = {}
    for number in range(-1, rounds):
        for name in list(children) if number % 2 else list(reversed(children)):
            if name in failed:
                continue
            try:
                told = children[name].ask("serve", batch if number >= 0 else warmup)
            except ChildError as error:
                failed[name] = f"stopped: {error}"
                continue
            if number >= 0:
                found[name].append((told["latencies_ns"], told["cpu_ns"]))
    served = {name: Series.of(batches) for name, batches in found.items() if name not in failed}
    return served, failed
