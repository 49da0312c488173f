"""The seed's case: one DRF view under gunicorn's sync workers and under uvicorn's."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Final

from tracer.compare.experiment import Configuration

PATH: Final = "/test/"
WORKERS: Final = 4
_COMMANDS: Final = {
    "wsgi": f"gunicorn demo_site.wsgi --workers {WORKERS}",
    "asgi": f"gunicorn demo_site.asgi:application --workers {WORKERS} "
    "--worker-class uvicorn_worker.UvicornWorker",
}


def demo_configurations() -> tuple[Configuration, ...]:
    """Return both, run by this interpreter; raise FileNotFoundError without the demo site."""
    root = _root()
    inherited = os.environ.get("PYTHONPATH")
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), inherited)))}
    return tuple(
        Configuration(name, f"{shlex.quote(sys.executable)} -m {command}", variables, command)
        for name, command in _COMMANDS.items()
    )


def _root() -> Path:
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (root / "demo_site" / "wsgi.py").is_file():
            return root
    raise FileNotFoundError(
        "the demo site is not here (it comes with the repository): give --a and --b"
    )
