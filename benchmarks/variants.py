"""The ways to run the tracer that are measured against each other.

To add one, add a line. The variables go over those that the agent's session gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERFACES: Final = ("wsgi", "asgi")
ON_UVLOOP: Final = "uvloop"
"""The ASGI host on the loop that servers take where it is there; for what is counted."""

OFF: Final = "off"
FULL: Final = "full"
RING_DIRECTORY: Final = "TRACER_RING_DIRECTORY"
"""Where a session tells servers that their rings belong."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the tracer, or to run without it."""

    name: str
    title: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def traced(self) -> bool:
        """Whether the tracer is there at all."""
        return not self.name.startswith(OFF)

    @property
    def base(self) -> str:
        """The name of the same without the tracer."""
        return f"{OFF}_caller" if CALLER.items() <= self.variables.items() else OFF


def _variant(name: str, title: str, sample: str, **more: str) -> Variant:
    return Variant(name, title, {"TRACER_SAMPLE": sample, **more})


CALLER: Final = {"BENCHMARK_TRACEPARENT": f"00-{'5b' * 8}{'15' * 8}-{'a7' * 8}-01"}
"""A caller's trace, whose id is none that a rate of 1 % records."""

VARIANTS: Final = (
    Variant(OFF, "no tracer"),
    Variant(f"{OFF}_caller", "no tracer, a caller's traceparent", CALLER),
    _variant("unsampled", "sampling 0", "0"),
    _variant("one_percent", "sampling 1 %", "0.01"),
    # Nothing is that slow here: all marks are taken, and all of them thrown away.
    _variant("keep_slow", "sampling 0, keep what was slow", "0", TRACER_KEEP_SLOWER_THAN="60s"),
    _variant(FULL, "sampling 100 %", "1"),
    _variant("caller", "sampling 100 %, a caller's traceparent", "1", **CALLER),
    _variant("production", "sampling 1 %, a caller's traceparent", "0.01", **CALLER),
    _variant("full_pure", "sampling 100 %, pure Python", "1", TRACER_PURE="1"),
    _variant("unsampled_pure", "sampling 0, pure Python", "0", TRACER_PURE="1"),
)
VARIANT_NAMES: Final = tuple(variant.name for variant in VARIANTS)
_COUNTED: Final = {OFF, FULL, "unsampled", f"{OFF}_caller", "caller", "production"}
COUNTED: Final = tuple(variant for variant in VARIANTS if variant.name in _COUNTED)
"""Those whose instructions are counted: each takes a while."""
