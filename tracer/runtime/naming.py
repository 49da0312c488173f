"""The name table: each text of a worker has a number, and is sent once."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final

from tracer.model.layers import LAYERS, Owner
from tracer.model.nametable import (
    OTHER,
    OWNER_SEPARATOR,
    CodeLocation,
    Endpoint,
    endpoint_text,
    location_text,
)
from tracer.ring.layout import NAMES_SIZE
from tracer.runtime.code_locations import location_of

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_PLACES: Final = 2_000
_MOST_ENDPOINTS: Final = 200
"""No table grows without end, whatever is asked for."""

_LONGEST: Final = 16_384
_KEPT_FREE: Final = 4_096
"""Bytes of a name as it is written, and what is left for those that stand for others."""

_METHODS: Final = frozenset(
    {
        *("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"),
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"),
    }
)
"""A method is whatever a client says: those that RFC 9110 and WebDAV know have names."""

_VERSIONS: Final = {"1.0": "1.0", "1.1": "1.1", "2": "2", "2.0": "2", "3": "3"}


Bound = str | tuple[Any, ...] | None
Version = str | tuple[int, ...] | None
"""Of HTTP, as each server has it: `1.1` or `(1, 1)`."""


class Numbers(dict[str, int]):
    """Gives a text that has no number the next one: asking for those that have is no call.

    The table is bounded, since names may come from outside: a text that no longer fits, or is too
    long, gets the number of `OTHER`, and one of an owner that of its layer alone.
    """

    def __init__(self, full: Callable[[], None] | None = None) -> None:
        """`full` is called when the first text finds no room."""
        super().__init__()
        self.lock = threading.Lock()
        self.new: list[str] = []
        self._left = NAMES_SIZE - _KEPT_FREE
        self._full = full

    def __missing__(self, text: str) -> int:
        size = len(json.dumps(text)) + 1
        with self.lock:
            if size > min(self._left, _LONGEST):
                text, size = _instead_of(text), 0
                full, self._full = self._full, None
                if full is not None:
                    full()
            number = self.get(text)
            if number is None:
                number = self[text] = len(self) + 1
                self.new.append(text)
                self._left -= size
        return number


def _instead_of(text: str) -> str:
    layer, separator, _ = text.partition(OWNER_SEPARATOR)
    return f"{layer}{OWNER_SEPARATOR * 3}" if separator and layer in LAYERS else OTHER


class Naming:
    """Gives out numbers, and keeps what is still to be sent."""

    def __init__(self, full: Callable[[], None] | None = None) -> None:
        """Begin with an empty table; `full` is called when it has no room for a name."""
        self._names = Numbers(full)
        self.name: Callable[[str], int] = self._names.__getitem__
        """Returns the number of a text; the same text has the same number in this process."""
        self._owners: dict[Owner, int] = {}
        self._places: set[str] = set()
        self._endpoints: dict[tuple[object, ...], int] = {}

    @property
    def numbers(self) -> Numbers:
        """All texts with their numbers, and which of them are `new`."""
        return self._names

    def method(self, text: str) -> int:
        """Return the number of an HTTP method, `OTHER` where no standard knows it."""
        return self.name(text if text in _METHODS else OTHER)

    def owner(
        self,
        layer: str,
        detail: str | None = None,
        part: str | None = None,
        phase: str | None = None,
    ) -> int:
        """Return the number of an owner of time."""
        key = Owner(layer, detail, part, phase)  # type: ignore[arg-type]
        number = self._owners.get(key)
        if number is None:
            number = self._owners[key] = self.name(
                OWNER_SEPARATOR.join(field or "" for field in key)
            )
        return number

    def place(self, name: str, code: object) -> None:
        """Tell once where the code of a name stands: a function, a class, or a `CodeLocation`."""
        if name in self._places or len(self._places) >= _MOST_PLACES:
            return
        self._places.add(name)
        found = code if isinstance(code, CodeLocation) else location_of(code)
        if found is not None:
            self.name(location_text(name, found))

    def endpoint(self, scheme: str, bound: Bound, version: Version) -> int:
        """Return the number of where and how a request came in; 0 where there are too many.

        `bound` is the address of the server's socket, as Python has it.
        """
        key = (scheme, bound, version)
        number = self._endpoints.get(key)
        if number is None:
            if len(self._endpoints) >= _MOST_ENDPOINTS:
                return 0
            said = _endpoint(scheme, bound, version)
            number = self._endpoints[key] = self.name(endpoint_text(said))
        return number

    def take(self) -> list[str]:
        """Return the texts that have numbers since the last call."""
        if not self._names.new:
            return []
        with self._names.lock:
            new = self._names.new.copy()
            self._names.new.clear()
        return new

    def after_fork(self) -> None:
        """Tell all of them again in a forked child."""
        names = self._names
        names.lock = threading.Lock()
        names.new = [text for text, _ in sorted(names.items(), key=lambda item: item[1])]


def _endpoint(scheme: str, bound: Bound, version: Version) -> Endpoint:
    address, port = bound[:2] if isinstance(bound, tuple) else (bound, None)
    said = ".".join(map(str, version)) if isinstance(version, tuple) else version
    known = port if isinstance(port, int) else None
    return Endpoint(scheme, str(address or ""), known, _VERSIONS.get(said or ""))
