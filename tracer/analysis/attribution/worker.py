"""A traced process, as its own words describe it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    from collections.abc import Iterable, Mapping, Sequence

_FIELDS: Final = 4


@dataclass(frozen=True)
class Worker:
    """What is known of a process that serves requests; whoever learns more makes another.

    `description` is what it says of itself, `names` its table of names, in order of their
    numbers, and `counters` what it counted so far.
    """

    description: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)

    def described(self, description: Mapping[str, Any]) -> Worker:
        """Return it with what it says of itself now."""
        return replace(self, description=description)

    def named(self, names: Iterable[str]) -> Worker:
        """Return it with more names, behind those it has."""
        return replace(self, names=(*self.names, *names))

    def counted(self, counters: Mapping[str, int]) -> Worker:
        """Return it with what it counted until now."""
        return replace(self, counters=counters)

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self.description.get("pid", 0))

    @property
    def boot_id(self) -> str:
        """Which boot of the machine its clock is of."""
        return str(self.description.get("boot_id", ""))

    @property
    def wall_offset_ns(self) -> int:
        """What leads from its clock to unix time."""
        return int(self.description.get("wall_offset_ns", 0))

    @property
    def environment(self) -> Mapping[str, Any]:
        """The versions and settings it runs with, as far as it said."""
        return self.description.get("environment") or {}

    @property
    def seams(self) -> Sequence[Mapping[str, Any]]:
        """What it says of each seam: its name, its status, and why it isn't installed."""
        return tuple(self.description.get("seams", ()))

    @cached_property
    def seams_absent(self) -> tuple[str, ...]:
        """The names of seams that aren't installed."""
        return tuple(seam["seam"] for seam in self.seams if seam["status"] != "installed")

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
        threads = self.description.get("threads")
        several = threads.items() if isinstance(threads, dict) else ()
        return {int(number): str(name) for number, name in several if str(number).isdecimal()}


@lru_cache(maxsize=4096)
def owner_in(text: str | None) -> Owner:
    """Return the owner that an entry of a name table tells of."""
    fields = (text or "").split(OWNER_SEPARATOR)
    if len(fields) != _FIELDS:
        return UNATTRIBUTED
    layer, detail, part, phase = fields
    return Owner(cast("Layer", layer), detail or None, part or None, phase or None)
