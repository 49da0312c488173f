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
        return self.name != OFF


def _variant(name: str, title: str, sample: str, **more: str) -> Variant:
    return Variant(name, title, {"TRACER_SAMPLE": sample, **more})


VARIANTS: Final = (
    Variant(OFF, "no tracer"),
    _variant("unsampled", "sampling 0", "0"),
    _variant("one_percent", "sampling 1 %", "0.01"),
    # Nothing is that slow here: all marks are taken, and all of them thrown away.
    _variant("keep_slow", "sampling 0, keep what was slow", "0", TRACER_KEEP_SLOWER_THAN="60s"),
    _variant(FULL, "sampling 100 %", "1"),
    _variant("full_pure", "sampling 100 %, pure Python", "1", TRACER_PURE="1"),
    _variant("unsampled_pure", "sampling 0, pure Python", "0", TRACER_PURE="1"),
)
VARIANT_NAMES: Final = tuple(variant.name for variant in VARIANTS)
COUNTED: Final = tuple(variant for variant in VARIANTS if variant.name in {OFF, FULL, "unsampled"})
"""Those whose instructions are counted: each takes a while."""
