"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.machine import ROOT
from benchmarks.variants import INTERFACES, VARIANT_NAMES

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The defaults take about a quarter of an hour on a quiet machine with two cores."""

    out: Path = ROOT / "build" / "bench"
    interfaces: tuple[str, ...] = INTERFACES
    variants: tuple[str, ...] = VARIANT_NAMES
    rounds: int = 40
    batch: int = 50
    warmup: int = 300
    peers: bool = True
    socket_generations: int = 4
    socket_rounds: int = 6
    socket_seconds: float = 1.0
    footprint_runs: int = 15
    report_requests: int = 1_000_000
    feed_timeout_s: float = 300.0
    report_timeout_s: float = 120.0
    captured: int = 1_000
    exported: int = 20_000
    counted: int = 30
    portions: int = 3


def quick() -> Options:
    """Return the least that still runs everything: its figures mean nothing."""
    return Options(
        out=ROOT / "build" / "bench-quick",
        rounds=4,
        batch=5,
        warmup=20,
        socket_generations=2,
        socket_rounds=1,
        socket_seconds=0.3,
        footprint_runs=2,
        report_requests=400,
        report_timeout_s=30.0,
        captured=40,
        exported=80,
        counted=5,
        portions=2,
    )
