"""Which seams can be wrapped here: every probe tried, and undone again."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracer.launch.spawn import RECORD, RING_DIRECTORY
from tracer.probes import all_probes
from tracer.runtime.recorder import Recorder
from tracer.runtime.seams import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TIMEOUT_S: Final = 60.0


class _Nowhere:
    largest = 0

    def write(self, several: list[tuple[int, bytes]], names: list[str]) -> None:
        """Take nothing."""

    def describe(self, document: dict[str, object]) -> None:
        """Take nothing."""

    def count(self, counts: Sequence[int]) -> None:
        """Take nothing."""


def seam_statuses(settings: str | None) -> list[dict[str, Any]]:
    """Return status and reason of every seam, tried in a process of its own.

    Raises `RuntimeError` with one line where that process can't even begin.
    """
    ours = {RING_DIRECTORY, RECORD}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if settings:
        environment["DJANGO_SETTINGS_MODULE"] = settings
    where = f"settings {environment.get('DJANGO_SETTINGS_MODULE', '(none)')}"
    try:
        tried = subprocess.run(
            [sys.executable, "-m", "tracer.launch.doctor"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{where}: not set up within {_TIMEOUT_S:.0f} s") from error
    if tried.returncode or not tried.stdout:
        lines = tried.stderr.strip().splitlines() or ["the process ended without a word"]
        raise RuntimeError(f"{where}: {lines[-1]}")
    statuses: list[dict[str, Any]] = json.loads(tried.stdout)
    return statuses


def _try_all() -> Iterator[dict[str, Any]]:
    probes = all_probes()
    recorder = Recorder(_Nowhere())
    installation = Installation(recorder, probes)
    missing = {
        module: reason
        for module in sorted(installation.modules())
        if (reason := _import(module)) is not None
    }
    installation.start()
    for probe in probes:
        for seam in probe.seams:
            status, reason = installation.statuses.get(
                seam.target, ("absent", missing.get(seam.module, "not imported"))
            )
            yield {"probe": probe.name, "seam": seam.target, "status": status, "reason": reason}
        for instance in probe.instance_seams:
            yield {
                "probe": probe.name,
                "seam": instance,
                "status": "installed" if _there(instance) else "absent",
                "reason": "on each instance, when it is first used",
            }
    installation.stop()


def _import(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - a library may fail in its own way
        return str(error) or repr(error)
    return None


def _there(instance: str) -> bool:
    return importlib.util.find_spec(instance.partition(":")[0]) is not None


def _set_up_django() -> None:
    if importlib.util.find_spec("django") is None:
        return
    from django.conf import settings  # noqa: PLC0415 - optional here

    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        import django  # noqa: PLC0415

        sys.path.insert(0, str(Path.cwd()))
        django.setup()
    elif not settings.configured:
        settings.configure()


def _main() -> int:
    """Answer on the stdout that we were given; what settings print goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        try:
            _set_up_django()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - said in one line
            what = " ".join(str(error).split())
            sys.stderr.write(f"\n{type(error).__name__}: {what}\n")
            return 2
        json.dump(list(_try_all()), answer)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
