"""Many frames packed into few bytes: by column, as differences or places in a table.

What was packed is unpacked to the same bytes. Nothing in a pack is believed: lengths are
checked, and what it unpacks to is bounded by what it says it holds.
"""

from __future__ import annotations

import itertools
import operator
import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.model import frames
from tracer.model.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_LEVEL: Final = 3
"""The last of zlib's quick ones; of columns, its slower next one makes no less."""

_RAW: Final = -15
_ZLIB: Final = b"\x78\x5e"
_SMALL: Final = 1 << 12
_SIZE: Final = struct.Struct("<I")
_SHAPE: Final = struct.Struct("<II")
_COLUMN: Final = struct.Struct("<BBI")
_DIFFERENCES, _TABLE = 0, 1
_WIDTH: Final = 8
_MARK: Final = 4
_BUSY: Final = 5
_LARGEST: Final = 1 << 30
_ENTRIES: Final = 1 << 26


class Timelines:
    """The timelines of a pack: heads as bytes, workers, and all their marks in one matrix."""

    def __init__(self, heads: list[bytes], workers: list[int], marks: Ints, bounds: Ints) -> None:
        """Hold `marks[bounds[i]:bounds[i + 1]]` for the i-th of `heads`."""
        self.heads = heads
        self.workers = workers
        self.marks = marks
        self.bounds = bounds

    def marks_of(self, place: int) -> Ints:
        """Return a timeline's rows of marks."""
        found: Ints = self.marks[self.bounds[place] : self.bounds[place + 1]]
        return found


def together(several: Sequence[tuple[int, bytes]]) -> Timelines:
    """Return the frames of timelines, each with its worker's number, as if they had been packed."""
    split = [frames.split(frame) for _, frame in several]
    marks = np.frombuffer(b"".join(numbers for _, numbers in split), "<i8").reshape(-1, _MARK)
    counts = [len(numbers) // (_WIDTH * _MARK) for _, numbers in split]
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(counts, np.int64))])
    return Timelines([head for head, _ in split], [w for w, _ in several], marks, bounds)


def joined(several: Sequence[Timelines]) -> Timelines:
    """Return timelines of several packs as if they had been of one."""
    lengths = np.concatenate([np.diff(one.bounds) for one in several])
    return Timelines(
        [head for one in several for head in one.heads],
        [worker for one in several for worker in one.workers],
        np.concatenate([one.marks for one in several]),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
    )


def pack_timelines(found: Timelines) -> bytes:
    """Pack timelines."""
    heads = b"".join(head + bytes(-len(head) % _WIDTH) for head in found.heads)
    lengths = np.array([len(head) for head in found.heads], np.int64)
    return _packed(
        [
            np.array(found.workers, np.int64),
            lengths,
            np.diff(found.bounds),
            *_by_word(np.frombuffer(heads, "<i8"), lengths),
            *found.marks.T,
        ],
        tables=(0, 1, 2, -4, -2, -1),
    )


def unpack_timelines(packed: bytes) -> Timelines:
    """Return what was packed; raise `FrameError` for what wasn't."""
    workers, lengths, counts, *rest = _unpacked(packed)
    *by_word, codes, instants, threads, values = rest
    if (
        not len(workers) == len(lengths) == len(counts)
        or min(lengths.min(initial=0), counts.min(initial=0)) < 0
    ):
        raise FrameError("a pack that contradicts itself")
    if len({len(codes), len(instants), len(threads), len(values), int(counts.sum())}) > 1:
        raise FrameError("a pack of other marks than it says")
    heads = _from_words(by_word, lengths)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    marks = np.stack([codes, instants, threads, values], axis=1)
    return Timelines(heads, workers.tolist(), marks, bounds)


def pack_occupancy(entries: Ints) -> bytes:
    """Pack the entries of an occupancy log: rows of start, end, thread, sequence, name."""
    start, end, thread, sequence, name = entries.T
    return _packed([start, end - start, thread, sequence, name], tables=(2, 4))


def unpack_occupancy(packed: bytes) -> Ints:
    """Return what was packed; raise `FrameError` for what wasn't."""
    columns = _unpacked(packed)
    if len(columns) != _BUSY or len({len(column) for column in columns}) > 1:
        raise FrameError("a pack that is no occupancy log")
    start, length, thread, sequence, name = columns
    return np.stack([start, start + length, thread, sequence, name], axis=1)


def _by_word(words: Ints, lengths: Ints) -> list[Ints]:
    """Cut heads into columns: all first words, all second ones and so on."""
    counts = _words(lengths)
    first = np.cumsum(counts) - counts
    most = int(counts.max(initial=0))
    return [words[first[counts > place] + place] for place in range(most)]


def _from_words(columns: list[Ints], lengths: Ints) -> list[bytes]:
    counts = _words(lengths)
    first = np.cumsum(counts) - counts
    if len(columns) != int(counts.max(initial=0)):
        raise FrameError("a pack of other heads than it says")
    if int(counts.sum()) != sum(len(column) for column in columns):
        raise FrameError("a pack of other heads than it says")
    words = np.zeros(int(counts.sum()), "<i8")
    for place, column in enumerate(columns):
        where = first[counts > place] + place
        if len(where) != len(column):
            raise FrameError("a pack of other heads than it says")
        words[where] = column
    every = words.tobytes()
    return [
        every[low * _WIDTH : low * _WIDTH + length]
        for low, length in zip(first.tolist(), lengths.tolist(), strict=True)
    ]


def _words(lengths: Ints) -> Ints:
    return (lengths + (_WIDTH - 1)) // _WIDTH


def _packed(columns: list[Ints], tables: Sequence[int]) -> bytes:
    chosen = {place % len(columns) for place in tables}
    parts = [(zlib.Z_DEFAULT_STRATEGY, _SIZE.pack(len(columns)))]
    for place, column in enumerate(columns):
        if place in chosen:
            known, where = _table(column)
            several = _column(_TABLE, where) + _column(_DIFFERENCES, known)
            parts.append((zlib.Z_DEFAULT_STRATEGY, several))
        else:
            # The low bytes of instants are noise: looking for what comes again is in vain.
            parts.append((zlib.Z_RLE, _column(_DIFFERENCES, column)))
    return _deflated(parts)


def _deflated(parts: list[tuple[int, bytes]]) -> bytes:
    """Compress parts, each by a strategy of zlib's, to what is one stream for who reads it."""
    size, check, found = 0, 1, [_ZLIB]
    for strategy, those in itertools.groupby(parts, operator.itemgetter(0)):
        plain = b"".join(part for _, part in those)
        size, check = size + len(plain), zlib.adler32(plain, check)
        one = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, strategy=strategy)
        found += [one.compress(plain), one.flush(zlib.Z_FULL_FLUSH)]
    found += [zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW).flush(), check.to_bytes(4, "big")]
    return _SIZE.pack(size) + b"".join(found)


def _table(column: Ints) -> tuple[Ints, Ints]:
    """Return the different numbers of a column, and where among them each of it stands."""
    small = (column >= 0) & (column < _SMALL)
    low, large = column[small], ~small
    seen = np.flatnonzero(np.bincount(low, minlength=_SMALL))
    place = np.zeros(_SMALL, np.int64)
    place[seen] = np.arange(len(seen))
    known, beyond = np.unique(column[large], return_inverse=True)
    where = np.empty(len(column), np.int64)
    where[small], where[large] = place[low], beyond + len(seen)
    return np.concatenate([seen, known]), where


def _column(kind: int, numbers: Ints) -> bytes:
    """Write numbers byte by byte of their width, the differences of those that have no table."""
    if kind == _DIFFERENCES:
        before = np.concatenate([np.zeros(1, np.int64), numbers[:-1]])
        steps = numbers - before
        numbers = (steps << 1) ^ (steps >> 63)
    unsigned = numbers.astype("<u8")
    width = (int(unsigned.max(initial=0)).bit_length() + 7) // 8
    planes = unsigned.view(np.uint8).reshape(-1, _WIDTH)[:, :width].T
    return _COLUMN.pack(kind, width, len(numbers)) + planes.tobytes()


def _unpacked(packed: bytes) -> list[Ints]:
    if len(packed) < _SIZE.size:
        raise FrameError("an empty pack")
    (size,) = _SIZE.unpack_from(packed)
    if size > _LARGEST:
        raise FrameError("a pack too large to be one")
    inflate = zlib.decompressobj()
    plain = inflate.decompress(packed[_SIZE.size :], size + 1)
    if len(plain) != size or not inflate.eof:
        raise FrameError("a pack of the wrong length")
    (count,) = _SIZE.unpack_from(plain)
    place, columns, entries = _SIZE.size, [], 0
    for _ in range(count):
        kind, column, place = _read(plain, place)
        entries += len(column)
        if entries > _ENTRIES:
            raise FrameError("a pack of more than there can be")
        if kind == _TABLE:
            _, known, place = _read(plain, place)
            if len(column) and not 0 <= column.min() <= column.max() < len(known):
                raise FrameError("a pack that points beyond its table")
            column = known[column]
        columns.append(column)
    return columns


def _read(plain: bytes, place: int) -> tuple[int, Ints, int]:
    kind, width, count = _COLUMN.unpack_from(plain, place)
    place += _COLUMN.size
    end = place + width * count
    if width > _WIDTH or end > len(plain) or count > _ENTRIES:
        raise FrameError("a pack that ends too soon")
    whole = np.zeros((count, _WIDTH), np.uint8)
    whole[:, :width] = np.frombuffer(plain[place:end], np.uint8).reshape(width, count).T
    numbers = whole.view("<u8").reshape(count)
    if kind == _TABLE:
        return kind, numbers.astype(np.int64), end
    steps = (numbers >> np.uint64(1)).astype(np.int64) ^ -(numbers & np.uint64(1)).astype(np.int64)
    return kind, np.cumsum(steps), end
