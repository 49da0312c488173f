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
    """Return the folder in which `demo_site` lies: in a wheel our own, in a checkout its root."""
    package = Path(__file__).resolve().parents[1]
    for root in (package / "demo", package.parent):
        if (root / "demo_site" / "wsgi.py").is_file():
            return root
    raise FileNotFoundError("the demo site did not come with this installation: give --a and --b")
