"""What tracing, and what each peer, adds to one request: all in one interleaved run.

Every variant is a process of its own on the same core; they serve in turns. Nothing is
installed or uninstalled while they run: that would empty the interpreter's caches.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import cores, pinned
from benchmarks.pairing import Child, ChildError, drive
from benchmarks.peers import PEERS, SCRATCH, SINK
from benchmarks.sink import Sink
from benchmarks.variants import OFF, VARIANTS, Variant
from benchmarks.venvs import PeerError, python_of, version_in
from tracer.agent.session import open_session

if TYPE_CHECKING:
    from benchmarks.options import Options

_OWN: Final = {variant.name for variant in VARIANTS}
_BASES: Final = {variant.name: variant.base for variant in VARIANTS}
_SPANS_OF: Final = 20


@dataclass(slots=True)
class Peer:
    """A peer that was asked for: its interpreter, or why it has none."""

    name: str
    title: str
    version: str | None = None
    python: str | None = None
    failed: str | None = None


def run(options: Options) -> dict[str, Any]:
    """Return the figures of every variant and every peer, for both interfaces."""
    peers = [_installed(name) for name in PEERS] if options.peers else []
    told: dict[str, Any] = {
        "schema": "tracer.benchmark.inprocess/1",
        "titles": {variant.name: variant.title for variant in VARIANTS},
        "peers": {peer.name: {"title": peer.title, "version": peer.version} for peer in peers},
    }
    for interface in options.interfaces:
        figures = _Run(interface, options).measure(peers)
        told[interface] = {name: figures[name] for name in figures if name in _OWN}
        for peer in peers:
            told["peers"][peer.name][interface] = figures[peer.name]
    return told


def _installed(name: str) -> Peer:
    module = importlib.import_module(f"benchmarks.peers.{name}")
    peer = Peer(name, module.TITLE)
    try:
        python = python_of(name)
        peer.version = version_in(python, module.DISTRIBUTION)
        peer.python = str(python)
    except (PeerError, OSError, subprocess.SubprocessError) as error:
        peer.failed = f"can't be installed: {error}"
    return peer


@dataclass(slots=True)
class _Run:
    """The variants and peers of one interface, side by side."""

    interface: str
    options: Options
    children: dict[str, Child] = field(default_factory=dict)
    sinks: dict[str, Sink] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def measure(self, peers: list[Peer]) -> dict[str, dict[str, Any]]:
        """Return figures by name; those of a peer that failed say why."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            stack.enter_context(pinned(cores()[1]))
            for variant in self._variants():
                self._start_variant(variant, folder, stack)
            for peer in peers:
                self._start_peer(peer, folder, stack)
            about = self._begin()
            series, stopped = drive(
                self.children,
                rounds=self.options.rounds,
                batch=self.options.batch,
                warmup=self.options.warmup,
            )
            self._fail(stopped)
            figures: dict[str, dict[str, Any]] = {}
            for name, taken in series.items():
                figures[name] = taken.figures()
                base = _BASES.get(name, OFF)
                if name != base:
                    figures[name].update(taken.against(series[base]))
                if name in _OWN:
                    figures[name]["accelerated"] = about[name]["accelerated"]
                else:
                    figures[name].update(self._spans(name))
        return {**figures, **{name: {"failed": why} for name, why in self.failed.items()}}

    def _variants(self) -> list[Variant]:
        """Return those that were asked for, and what they are measured against."""
        wanted = {OFF, *self.options.variants}
        wanted |= {_BASES[name] for name in wanted}
        return [variant for variant in VARIANTS if variant.name in wanted]

    def _start_variant(self, variant: Variant, folder: Path, stack: contextlib.ExitStack) -> None:
        """Start a variant, with an agent of its own that records."""
        environment = {**os.environ, **variant.variables}
        if variant.traced:
            session = stack.enter_context(open_session(folder / variant.name))
            environment = {**session.environment(environment), **variant.variables}
        self._start(variant.name, sys.executable, environment, stack)

    def _start_peer(self, peer: Peer, folder: Path, stack: contextlib.ExitStack) -> None:
        if peer.python is None:
            self.failed[peer.name] = peer.failed or ""
            return
        sink = self.sinks[peer.name] = stack.enter_context(Sink())
        scratch = folder / peer.name
        scratch.mkdir()
        environment = {**os.environ, SINK: sink.url, SCRATCH: str(scratch)}
        self._start(peer.name, peer.python, environment, stack, peer.name)

    def _start(
        self,
        name: str,
        python: str,
        environment: dict[str, str],
        stack: contextlib.ExitStack,
        *arguments: str,
    ) -> None:
        log = self.options.out / "logs" / f"{self.interface}-{name}.log"
        with pinned(cores()[0]):
            child = Child([self.interface, *arguments], environment, log, python)
        stack.callback(child.end)
        self.children[name] = child

    def _begin(self) -> dict[str, dict[str, Any]]:
        """Wait for all; those that can't serve are left out."""
        about: dict[str, dict[str, Any]] = {}
        stopped: dict[str, str] = {}
        for name, child in self.children.items():
            try:
                about[name] = child.begin()
            except ChildError as error:
                stopped[name] = f"doesn't start: {error}"
        self._fail(stopped)
        for variant in self._variants():
            traced = about[variant.name]["traced"]
            assert traced == variant.traced, f"{variant.name} is traced: {traced}"
        return about

    def _fail(self, stopped: dict[str, str]) -> None:
        """Leave those out that failed; one of our own is an error."""
        for name, why in stopped.items():
            if name in _OWN:
                raise ChildError(f"{self.interface} {name}: {why}")
            del self.children[name]
        self.failed.update(stopped)

    def _spans(self, name: str) -> dict[str, Any]:
        """Return spans per request, and how often the peer sent something."""
        sent = self.sinks[name].received()
        try:
            spans = self.children[name].ask("spans", _SPANS_OF)["spans"]
        except ChildError:
            spans = None
        return {"spans": spans, "sent": sent}
