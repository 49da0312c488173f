"""Texts of a worker's name table that are no names: where code stands, where requests come in.

They are sent once, like names, and no mark refers to a place: who reads the table finds it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

OTHER: Final = "_OTHER"
"""Stands for all names there is no room for, as in OpenTelemetry's semantic conventions."""

OWNER_SEPARATOR: Final = "\x1f"
"""Between layer, detail, part and phase in the text of an owner."""

_SEPARATOR: Final = "\x1f"
_PLACE: Final = "place"
_ENDPOINT: Final = "endpoint"
_PLACE_FIELDS: Final = 5
_ENDPOINT_FIELDS: Final = 6


class CodeLocation(NamedTuple):
    """Where code stands: file, and line where it is known."""

    file: str
    line: int | None


class Endpoint(NamedTuple):
    """Where and how a request came in: what the server is bound to, None where unknown.

    `address` may be a Unix socket's path; `version` is HTTP's.
    """

    scheme: str | None = None
    address: str | None = None
    port: int | None = None
    version: str | None = None


NOWHERE: Final = Endpoint()


def location_text(name: str, place: CodeLocation) -> str:
    """Return the text that says where the code of that name stands."""
    return _SEPARATOR.join(("", _PLACE, name, place.file, _number(place.line)))


def endpoint_text(endpoint: Endpoint) -> str:
    """Return the text that stands for an endpoint."""
    scheme, address, port, version = endpoint
    fields = ("", _ENDPOINT, scheme or "", address or "", _number(port), version or "")
    return _SEPARATOR.join(fields)


def locations_in(texts: Iterable[str]) -> dict[str, CodeLocation]:
    """Return where the code of each name stands, as a name table tells."""
    found = {}
    for text in texts:
        if text.startswith(_SEPARATOR + _PLACE + _SEPARATOR):
            fields = text.split(_SEPARATOR)
            if len(fields) == _PLACE_FIELDS:
                _, _, name, file, line = fields
                found[name] = CodeLocation(file, _read(line))
    return found


@lru_cache(maxsize=1024)
def endpoint_in(text: str | None) -> Endpoint:
    """Return the endpoint that an entry of a name table tells of."""
    fields = (text or "").split(_SEPARATOR)
    if len(fields) != _ENDPOINT_FIELDS or fields[:2] != ["", _ENDPOINT]:
        return NOWHERE
    scheme, address, port, version = fields[2:]
    return Endpoint(scheme or None, address or None, _read(port), version or None)


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


def _read(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
