"""A pprof profile, gzipped: time by stack, with the request's ids as labels.

https://github.com/google/pprof/blob/main/proto/profile.proto

The message has few fields of two kinds, so it is written here, and needs no compiled
schema and no library in the application's environment.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.analysis.attribution.request import Request
    from tracer.analysis.flame.flame_graph import FlameGraph
    from tracer.analysis.flame.pieces import Step

# Fields of Profile, and of the messages in it.
_SAMPLE_TYPE, _SAMPLE, _LOCATION, _FUNCTION, _STRINGS = 1, 2, 4, 5, 6
_TIME, _DURATION, _COMMENT = 9, 10, 13
_VARINT, _BYTES = 0, 2
_SEVEN: Final = 0x7F


class _Tables:
    """Strings, functions and locations, each with the number it is known by."""

    def __init__(self) -> None:
        self._strings: dict[str, int] = {"": 0}
        self._places: dict[Step, int] = {}
        self.message = b""

    def string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def location(self, step: Step) -> int:
        number = self._places.get(step)
        if number is None:
            number = self._places[step] = len(self._places) + 1
            file, _, line = step.where.rpartition(":")
            name, start = self.string(step.name), int(line or 0)
            function = _number(1, number) + _number(2, name) + _number(3, name)
            function += _number(4, self.string(file)) + _number(5, start)
            at = _number(1, number) + _number(2, start)
            self.message += _bytes(_FUNCTION, function)
            self.message += _bytes(_LOCATION, _number(1, number) + _bytes(4, at))
        return number

    def strings(self) -> bytes:
        return b"".join(_bytes(_STRINGS, text.encode("utf-8", "replace")) for text in self._strings)


def pprof(picture: FlameGraph) -> bytes:
    """Return the file; raise `ValueError` for a comparison, which pprof itself makes."""
    if picture.against is not None:
        raise ValueError("pprof compares two files itself: go tool pprof -diff_base A B")
    tables = _Tables()
    kind = _number(1, tables.string("time")) + _number(2, tables.string("nanoseconds"))
    samples = b"".join(
        _sample(path, ns, request, tables)
        for request, folded in picture.parts
        for path, ns in sorted(folded.by_path.items())
    )
    comments = [tables.string(note) for note in (picture.title, *picture.notes)]
    began_ns = min((request.start_unix_ns for request, _ in picture.parts), default=0)
    message = _bytes(_SAMPLE_TYPE, kind) + samples + tables.message + tables.strings()
    message += _number(_TIME, began_ns) + _number(_DURATION, picture.totals.total_ns)
    message += b"".join(_number(_COMMENT, comment) for comment in comments)
    return gzip.compress(message, mtime=0)


def _sample(path: Iterable[Step], ns: int, request: Request, tables: _Tables) -> bytes:
    places = b"".join(_varint(tables.location(step)) for step in reversed(tuple(path)))
    labels = {
        "trace_id": request.trace_id,
        "span_id": request.request_id,
        "route": request.route or "",
    }
    sample = _bytes(1, places) + _bytes(2, _varint(ns))
    for key, text in labels.items():
        label = _number(1, tables.string(key)) + _number(2, tables.string(text))
        sample += _bytes(3, label)
    return _bytes(_SAMPLE, sample)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > _SEVEN:
        found.append(number & _SEVEN | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(number)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content
