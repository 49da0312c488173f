"""More timelines from real ones: the same requests again, later, under ids of their own.

Instants, sequence numbers and ids are found in the captured bytes by what they decode to,
and a copy is decoded again before any is used: if the format changes so that this doesn't
hold any more, it fails instead of feeding nonsense.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.model import frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Offsets = NDArray[np.intp]

_WORD: Final = 8
_BUSY_WORDS: Final = 5
_BUSY_INSTANTS: Final = (0, 1)
_BUSY_SEQUENCE: Final = 3
_EARLIER_NS: Final = 1_000_000_000
_LATER_NS: Final = 100_000_000_000  # a timer's mark says when it would have been due
_GAP_NS: Final = 10_000_000
_ID_BITS: Final = 62
_LOW: Final = (1 << 64) - 1
_CHANGED: Final = "frames are laid out otherwise now: see benchmarks/replicate.py"


@dataclass(frozen=True, slots=True)
class Captured:
    """A stretch of one worker's frames, and at which bytes stands what must differ in a copy."""

    description: dict[str, object]
    names: list[str]
    kinds: list[int]
    bounds: list[tuple[int, int]]
    content: NDArray[np.uint8]
    instants: Offsets
    sequences: Offsets
    ids: Offsets
    span_ns: int

    @property
    def timelines(self) -> int:
        """How many requests the stretch holds."""
        return self.kinds.count(frames.TIMELINE)

    def copy(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Give the frames of the stretch as if it had come again, `number` stretches later."""
        content = self.content.copy()
        _add(content, self.instants, number * self.span_ns)
        _add(content, self.sequences, number * self.timelines)
        drawn = np.random.default_rng(number).integers(1, 1 << _ID_BITS, len(self.ids))
        content[_bytes_at(self.ids)] = drawn.view(np.uint8).reshape(-1, _WORD)
        for kind, (begin, end) in zip(self.kinds, self.bounds, strict=True):
            yield kind, content[begin:end].tobytes()


def read(path: Path) -> Captured:
    """Return what `benchmarks.capture` wrote; raise ValueError if its frames aren't understood."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    raw = [(kind, base64.b64decode(text)) for kind, text in told["frames"]]
    heads = [frames.decode_timeline(frame)[0] for kind, frame in raw if kind == frames.TIMELINE]
    low = min(head.start_ns for head in heads)
    high = max(head.finish_ns for head in heads)
    places: dict[str, list[int]] = {"instants": [], "sequences": [], "ids": []}
    bounds: list[tuple[int, int]] = []
    begin = 0
    for kind, frame in raw:
        words = dict(_words(kind, frame))
        for position, word in words.items():
            if kind == frames.OCCUPANCY:
                instant = position // _WORD % _BUSY_WORDS in _BUSY_INSTANTS
            else:
                instant = low - _EARLIER_NS < word < high + _LATER_NS
            if instant:
                places["instants"].append(begin + position)
        for name, position in _numbers(kind, frame, words):
            places[name].append(begin + position)
        bounds.append((begin, begin + len(frame)))
        begin += len(frame)
    captured = Captured(
        told["description"],
        told["names"],
        [kind for kind, _ in raw],
        bounds,
        np.frombuffer(b"".join(frame for _, frame in raw), np.uint8),
        **{name: np.array(found, np.intp) for name, found in places.items()},
        span_ns=high - low + _GAP_NS,
    )
    _check(captured, [frame for _, frame in raw])
    return captured


def _words(kind: int, frame: bytes) -> Iterator[tuple[int, int]]:
    """Give the 64-bit integers of a frame with their offsets: of its head, then of its marks."""
    split = len(frame)
    if kind == frames.TIMELINE:
        code, instant, *_ = frames.decode_timeline(frame)[1][0]
        found = frame.find(struct.pack("<qq", code, instant))
        split = found if found >= 0 else split
    for first, last in ((0, split), (split, len(frame))):
        count = (last - first) // _WORD
        yield from zip(
            range(first, last, _WORD), struct.unpack_from(f"<{count}q", frame, first), strict=False
        )


def _numbers(kind: int, frame: bytes, words: dict[int, int]) -> Iterable[tuple[str, int]]:
    """Give where the sequence number and the ids of a frame stand."""
    if kind == frames.TIMELINE:
        head = frames.decode_timeline(frame)[0]
        wanted = (
            ("sequences", head.sequence),
            ("ids", head.request_id),
            ("ids", head.trace_id & _LOW),
        )
        for name, value in wanted:
            position = next((at for at, word in words.items() if word & _LOW == value), None)
            if position is None:
                raise ValueError(_CHANGED)
            yield name, position
    elif kind == frames.OCCUPANCY:
        for position in range(_BUSY_SEQUENCE * _WORD, len(frame), _BUSY_WORDS * _WORD):
            if words[position]:
                yield "sequences", position


def _bytes_at(offsets: Offsets) -> Offsets:
    """Return the indices of the bytes of words that stand anywhere, aligned or not."""
    found: Offsets = offsets[:, None] + np.arange(_WORD)
    return found


def _add(content: NDArray[np.uint8], offsets: Offsets, more: int) -> None:
    where = _bytes_at(offsets)
    words = content[where].view(np.int64) + more
    content[where] = words.view(np.uint8)


def _check(captured: Captured, originals: list[bytes]) -> None:
    """Decode a copy: it must say what the original says, later."""
    for (kind, copied), original in zip(captured.copy(1), originals, strict=True):
        if kind == frames.TIMELINE:
            good = _is_later(captured, copied, original)
        elif kind == frames.OCCUPANCY:
            entries = zip(
                frames.decode_occupancy(copied), frames.decode_occupancy(original), strict=True
            )
            good = all(
                now.start_ns == was.start_ns + captured.span_ns
                and now.sequence == was.sequence + captured.timelines * bool(was.sequence)
                for now, was in entries
            )
        else:
            good = True
        if not good:
            raise ValueError(_CHANGED)


def _is_later(captured: Captured, copied: bytes, original: bytes) -> bool:
    (head, marks), (was, before) = map(frames.decode_timeline, (copied, original))
    expected = replace(
        was,
        sequence=was.sequence + captured.timelines,
        start_ns=was.start_ns + captured.span_ns,
        finish_ns=was.finish_ns + captured.span_ns,
        request_id=head.request_id,
        trace_id=head.trace_id,
    )
    # An instant may be 0, for none, or of long before: those of the request itself must move.
    moved = all(
        now[1] == mark[1] + captured.span_ns or not was.start_ns <= mark[1] <= was.finish_ns
        for now, mark in zip(marks, before, strict=True)
    )
    return head == expected and head.request_id != was.request_id and moved
