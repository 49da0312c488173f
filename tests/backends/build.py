"""Builds the real Jaeger and Prometheus that tests talk to, once, outside the tree.

    python -m tests.backends.build [jaeger] [prometheus]

Neither is in a package index as a binary; both build from the Go module proxy, minutes
each, into `$XDG_CACHE_HOME/django-layer-tracer`. A version has a folder of its own there,
so another version is another build.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEAST_GO: Final = (1, 25)
_COPIED: Final = 0o755


class BuildError(Exception):
    """A backend can't be built; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One program of a Go module at a pinned version; the module's `go.sum` pins the rest."""

    name: str
    module: str
    version: str
    command: str
    tags: str = ""

    @property
    def program(self) -> Path:
        """Where the built program lies, or will."""
        return cache() / f"{self.name}-{self.version}" / self.name


BACKENDS: Final = {
    one.name: one
    for one in (
        # 1.76 is the last release whose tag Go takes for a version: what it builds is Jaeger v2.
        Backend("jaeger", "github.com/jaegertracing/jaeger", "v1.76.0", "./cmd/jaeger"),
        Backend(
            "prometheus",
            "github.com/prometheus/prometheus",
            "v0.316.0",
            "./cmd/prometheus",
            "remove_all_sd,netgo",
        ),
    )
}


def cache() -> Path:
    """Return the folder of what is built once for all checkouts."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "django-layer-tracer"


def go() -> str | None:
    """Return a Go that is new enough, None without one."""
    program = shutil.which("go")
    if program is None:
        return None
    told = subprocess.run(
        [program, "env", "GOVERSION"], capture_output=True, text=True, check=False
    )
    found = re.match(r"go(\d+)\.(\d+)", told.stdout)
    if found is None or (int(found[1]), int(found[2])) < LEAST_GO:
        return None
    return program


def build(backend: Backend) -> Path:
    """Return the program, built if it isn't there yet; raise `BuildError` if it can't be."""
    if backend.program.exists():
        return backend.program
    program = go()
    if program is None:
        raise BuildError(f"no Go of at least {'.'.join(map(str, LEAST_GO))} to build it with")
    with _alone(backend):
        if not backend.program.exists():
            _build(program, backend)
    return backend.program


def _build(program: str, backend: Backend) -> None:
    """Build in a copy of the module: its own folder in Go's cache is not to be written to."""
    told = _run([program, "mod", "download", "-json", f"{backend.module}@{backend.version}"])
    with tempfile.TemporaryDirectory(dir=backend.program.parent) as made:
        source, target = Path(made, "source"), Path(made, backend.name)
        shutil.copytree(json.loads(told)["Dir"], source, copy_function=shutil.copyfile)
        for folder, _, _ in os.walk(source):
            Path(folder).chmod(_COPIED)
        tags = ["-tags", backend.tags] if backend.tags else []
        _run(
            [program, "build", "-trimpath", *tags, "-o", str(target), backend.command],
            cwd=source,
            env={**os.environ, "GOWORK": "off", "GOTOOLCHAIN": "local"},
        )
        target.replace(backend.program)


def _run(command: Sequence[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-3:] or ["it says nothing"]
        raise BuildError(f"{' '.join(command[:3])}: {' / '.join(last)}")
    return done.stdout


@contextlib.contextmanager
def _alone(backend: Backend) -> Iterator[None]:
    """Have one build of a backend at a time on this machine."""
    backend.program.parent.mkdir(parents=True, exist_ok=True)
    with backend.program.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def main(names: Sequence[str]) -> int:
    """Build what is named, or all; return 0 when it is there."""
    unknown = [name for name in names if name not in BACKENDS]
    if unknown:
        sys.stderr.write(f"no such backend: {', '.join(unknown)}\n")
        return 2
    for name in names or BACKENDS:
        try:
            sys.stdout.write(f"{build(BACKENDS[name])}\n")
        except (BuildError, OSError) as error:
            sys.stderr.write(f"{name}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
