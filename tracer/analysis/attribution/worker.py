"""A traced process, as its own words describe it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from tracer.model.layers import UNATTRIBUTED, Layer, Owner
from tracer.model.nametable import (
    OWNER_SEPARATOR,
    CodeLocation,
    Endpoint,
    endpoint_in,
    locations_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: Final = 4


@dataclass(frozen=True)
class Worker:
    """What is known of the process that served a request."""

    pid: int
    boot_id: str
    wall_offset_ns: int
    names: tuple[str, ...]
    description: Mapping[str, Any]
    seams_absent: tuple[str, ...]

    @classmethod
    def from_description(cls, description: Mapping[str, Any], names: tuple[str, ...]) -> Worker:
        """Build from what the worker said of itself and its name table."""
        return cls(
            pid=int(description.get("pid", 0)),
            boot_id=str(description.get("boot_id", "")),
            wall_offset_ns=int(description.get("wall_offset_ns", 0)),
            names=names,
            description=description,
            seams_absent=tuple(
                seam["seam"]
                for seam in description.get("seams", ())
                if seam["status"] != "installed"
            ),
        )

    def text(self, number: int) -> str | None:
        """Return the text with a number in this worker's table."""
        return self.names[number - 1] if 0 < number <= len(self.names) else None

    def owner(self, number: int) -> Owner:
        """Return the owner with a number in this worker's table."""
        return owner_in(self.text(number))

    def endpoint(self, number: int) -> Endpoint:
        """Return the endpoint with a number in this worker's table."""
        return endpoint_in(self.text(number))

    @cached_property
    def places(self) -> Mapping[str, CodeLocation]:
        """Where code stands, by its name."""
        return locations_in(self.names)

    @cached_property
    def threads(self) -> Mapping[int, str]:
        """Names of threads that live on, by what the kernel knows them as."""
        told = self.description.get("threads")
        several = told.items() if isinstance(told, dict) else ()
        return {int(number): str(name) for number, name in several if str(number).isdecimal()}


@lru_cache(maxsize=4096)
def owner_in(text: str | None) -> Owner:
    """Return the owner that an entry of a name table tells of."""
    fields = (text or "").split(OWNER_SEPARATOR)
    if len(fields) != _FIELDS:
        return UNATTRIBUTED
    layer, detail, part, phase = fields
    return Owner(cast("Layer", layer), detail or None, part or None, phase or None)
