"""One probe a library; a new server or layer is one new file and one line here."""

from __future__ import annotations

import importlib
import logging
from typing import Final

from tracer.probes.elsewhere import foreign
from tracer.runtime.seams import Probe

BUILT_IN: Final = (
    "runtime",
    "asyncio_loop",
    "uvloop_loop",
    "asgiref",
    "django",
    "django_handlers",
    "django_parts",
    "drf",
    "uvicorn",
    "gunicorn",
    "gunicorn_http",
    "runserver",
    "opentelemetry",
)

SERVER_TIMING: Final = "server_timing"
"""There only where it was asked for."""


def all_probes(*, server_timing: bool = False) -> tuple[Probe, ...]:
    """Return our probes and those of other distributions (entry point `tracer.probes`)."""
    names = (*BUILT_IN, SERVER_TIMING) if server_timing else BUILT_IN
    probes = [importlib.import_module(f"{__name__}.{name}").PROBE for name in names]
    for entry in foreign():
        try:
            probe = entry.load()
        except (Exception, SystemExit):  # a probe never breaks its host
            logging.getLogger("tracer").warning(
                "tracer: probe %s cannot be loaded", entry.name, exc_info=True
            )
        else:
            if isinstance(probe, Probe):
                probes.append(probe)
    return tuple(probes)
