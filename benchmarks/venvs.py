"""A virtual environment for every peer, beside ours: its own packages first, then ours."""

from __future__ import annotations

import importlib
import subprocess
import sys
import sysconfig
import venv
from typing import TYPE_CHECKING, Any

from benchmarks.machine import ROOT

if TYPE_CHECKING:
    from pathlib import Path


class PeerError(Exception):
    """A peer that can't be installed; the message says why in one line."""


def python_of(name: str, home: Path = ROOT / "build" / "peers") -> Path:
    """Return the interpreter that has the peer, made if need be; raise `PeerError`.

    Django and the servers are those of this environment, so all measure the same site.
    """
    requirements = importlib.import_module(f"benchmarks.peers.{name}").REQUIREMENTS
    folder = home / name
    python = folder / "bin" / "python"
    stamp = folder / "installed.txt"
    ours = sysconfig.get_path("purelib")
    wanted = "\n".join((sys.version, ours, *requirements))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    venv.create(folder, clear=True, symlinks=True)
    _install(python, requirements)
    theirs = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (folder / theirs / "ours.pth").write_text(ours + "\n", encoding="utf-8")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def version_in(python: Path, distribution: str) -> str:
    """Return the version of a distribution that an interpreter sees."""
    code = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    done = subprocess.run(
        [python, "-c", code, distribution], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _install(python: Path, requirements: tuple[str, ...]) -> None:
    command: list[Any] = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", *requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise PeerError(lines[-1])
