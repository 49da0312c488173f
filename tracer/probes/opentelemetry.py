"""OpenTelemetry in the traced process: a user's own spans hang from ours, if those are exported.

Nothing changes until there is a TracerProvider. Read in opentelemetry-api 1.25 to 1.45,
`context/contextvars_context.py` and `trace/__init__.py`.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from tracer.model.traceparent import HEADERS
from tracer.runtime.live_context import current, ids_of
from tracer.runtime.scopes import disarm
from tracer.runtime.seams import Probe, Seam
from tracer.settings.otlp import is_exported

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder

_API: Final = "opentelemetry.trace"
_CONTEXT: Final = "opentelemetry.context.contextvars_context:ContextVarsRuntimeContext"
_NONE: Final = frozenset({"ProxyTracerProvider", "NoOpTracerProvider"})

_originals: list[Callable[..., Any]] = []
"""How to ask for OpenTelemetry's own context, past our wrapper."""


def _set_provider(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """A TracerProvider is there, or comes: from then on somebody may ask what is current."""
    _switch_on(recorder)

    @functools.wraps(original)
    def _set_tracer_provider(tracer_provider: Any, log: bool) -> None:  # noqa: FBT001 - theirs
        original(tracer_provider, log)
        _switch_on(recorder)

    return _set_tracer_provider


def _switch_on(recorder: Recorder) -> None:
    """Begin, once there is a TracerProvider and what it takes for current passes through us.

    A parent that no backend ever gets would leave a user's traces without a root.
    """
    if not is_exported(os.environ):
        return
    provider = getattr(sys.modules.get(_API), "_TRACER_PROVIDER", None)
    runtime = vars(sys.modules["opentelemetry.context"]).get("_RUNTIME_CONTEXT")
    if provider is None or type(provider).__name__ in _NONE or not _originals:
        return
    recorder.live_context = functools.partial(_originals[-1], runtime)
    recorder.live_ids = ids_of
    from opentelemetry import propagate  # noqa: PLC0415 - the process has it

    HEADERS.add(*propagate.get_global_textmap().fields)


def _get_current(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    _originals.append(original)
    _switch_on(recorder)

    @functools.wraps(original)
    def get_current(self: Any) -> Any:
        context = original(self)
        if recorder.live_context is None:
            return context
        try:
            return current(context)
        except Exception:  # noqa: BLE001 - a request never fails because of us
            disarm(None, "giving OpenTelemetry what is current")
            return context

    return get_current


PROBE = Probe(
    name="opentelemetry",
    seams=(
        Seam(f"{_CONTEXT}.get_current", _get_current, shapes=("self",)),
        Seam(f"{_API}:_set_tracer_provider", _set_provider, shapes=("tracer_provider, log",)),
    ),
)
