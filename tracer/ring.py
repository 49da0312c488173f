"""A worker's ring: frames through mapped memory, from one process to one reader.

Writing is a copy into mapped memory: no system call, so the GIL isn't given away.
The writer owns `head`, the reader owns `tail`; both only grow. A frame that doesn't
fit is dropped and counted. Names travel in a file of their own, which is appended to
before the first frame that uses them, so a dropped frame loses no name.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC: Final = b"tracer01"
CAPACITY: Final = 16 * 1024 * 1024
HEADER_SIZE: Final = 4096

_FIXED: Final = struct.Struct("<8sQQ")
_COUNTER: Final = struct.Struct("<Q")
_HEAD: Final = 64
_TAIL: Final = 128
_DROPPED: Final = 192
_FRAME: Final = struct.Struct("<II")
_ALIGN: Final = 8
_WRAP: Final = 0xFFFFFFFF


class RingError(ValueError):
    """A ring file that isn't one, or that contradicts itself."""


class RingWriter:
    """The worker's end; makes its files when the first frame is written in a process."""

    def __init__(self, directory: Path, capacity: int = CAPACITY) -> None:
        """Write into a new ring in `directory`."""
        self._directory = directory
        self._capacity = capacity
        self._pid = 0
        self._map: mmap.mmap | None = None
        self._head = 0
        self._dropped = 0
        self._names = -1
        self._path = directory

    def describe(self, document: dict[str, object]) -> None:
        """Write what is known of this process beside the ring."""
        self._open()
        if self._map is None:
            return
        target = self._path.with_suffix(".json")
        temporary = target.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(document, default=str), encoding="utf-8")
            temporary.replace(target)

    def write(self, kind: int, frame: bytes, names: list[str]) -> None:
        """Append a frame, or count it as dropped where there is no room."""
        self._open()
        memory = self._map
        if memory is None:
            return
        if names and not self._append(names):
            self._map = None
            return
        size = -(-(_FRAME.size + len(frame)) // _ALIGN) * _ALIGN
        offset = self._head % self._capacity
        to_end = self._capacity - offset
        needed = size if size <= to_end else to_end + size
        (tail,) = _COUNTER.unpack_from(memory, _TAIL)
        if needed > self._capacity - (self._head - tail) or size > self._capacity // 2:
            self._dropped += 1
            _COUNTER.pack_into(memory, _DROPPED, self._dropped)
            return
        if size > to_end:
            _FRAME.pack_into(memory, HEADER_SIZE + offset, _WRAP, 0)
            offset = 0
        start = HEADER_SIZE + offset
        memory[start + _FRAME.size : start + _FRAME.size + len(frame)] = frame
        _FRAME.pack_into(memory, start, len(frame), kind)
        self._head += needed
        _COUNTER.pack_into(memory, _HEAD, self._head)

    def _append(self, names: list[str]) -> bool:
        """Write names down; frames without them would tell nothing."""
        text = "".join(json.dumps(name) + "\n" for name in names).encode()
        try:
            return os.write(self._names, text) == len(text)
        except OSError:
            return False

    def _open(self) -> None:
        pid = os.getpid()
        if pid == self._pid:
            return
        self._pid = pid
        self._map = None
        self._head = self._dropped = 0
        if self._names >= 0:
            os.close(self._names)
            self._names = -1
        try:
            self._create(pid)
        except OSError:
            self._map = None

    def _create(self, pid: int) -> None:
        path = self._free_path(pid)
        self._path = path
        flags = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._names = os.open(path.with_suffix(".names"), flags | os.O_WRONLY | os.O_APPEND, 0o600)
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, flags | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, HEADER_SIZE + self._capacity)
            self._map = mmap.mmap(descriptor, HEADER_SIZE + self._capacity)
        finally:
            os.close(descriptor)
        _FIXED.pack_into(self._map, 0, MAGIC, pid, self._capacity)
        temporary.rename(path)

    def _free_path(self, pid: int) -> Path:
        """A pid may come again: each of its rings has a name of its own."""
        number = 0
        while True:
            path = self._directory / f"{pid}-{number}.ring"
            if not path.exists() and not path.with_suffix(".names").exists():
                return path
            number += 1


class RingReader:
    """The agent's end."""

    def __init__(self, path: Path) -> None:
        """Open a ring; raise `RingError` if the file isn't one."""
        self.path = path
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size < HEADER_SIZE:
                message = f"{path.name} is too short for a ring"
                raise RingError(message)
            self._map = mmap.mmap(file.fileno(), size)
        magic, self.pid, self._capacity = _FIXED.unpack_from(self._map, 0)
        capacity = self._capacity
        if magic != MAGIC or HEADER_SIZE + capacity != size or not capacity or capacity % _ALIGN:
            self._map.close()
            message = f"{path.name} is not a ring"
            raise RingError(message)
        (self._tail,) = _COUNTER.unpack_from(self._map, _TAIL)

    @property
    def dropped(self) -> int:
        """How many frames the writer had no room for."""
        return int(_COUNTER.unpack_from(self._map, _DROPPED)[0])

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Give the frames written since the last call; raise `RingError` for nonsense."""
        (head,) = _COUNTER.unpack_from(self._map, _HEAD)
        if not 0 <= head - self._tail <= self._capacity or (head | self._tail) % _ALIGN:
            message = f"{self.path.name}: head and tail contradict each other"
            raise RingError(message)
        while self._tail < head:
            offset = self._tail % self._capacity
            length, kind = _FRAME.unpack_from(self._map, HEADER_SIZE + offset)
            start = HEADER_SIZE + offset + _FRAME.size
            size = -(-(_FRAME.size + length) // _ALIGN) * _ALIGN
            if length == _WRAP:
                size = self._capacity - offset
            if offset + size > self._capacity or self._tail + size > head:
                message = f"{self.path.name}: a frame longer than what was written"
                raise RingError(message)
            self._tail += size
            if length != _WRAP:
                yield kind, self._map[start : start + length]
        _COUNTER.pack_into(self._map, _TAIL, self._tail)

    def description(self) -> dict[str, object]:
        """Return what the worker said of itself; empty before it did, or if it is nonsense."""
        try:
            document = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def names(self, seen: int) -> list[str]:
        """Return the names given out after the first `seen`; raise `RingError` for nonsense."""
        try:
            text = self.path.with_suffix(".names").read_bytes()
        except OSError:
            return []
        complete = text[: text.rfind(b"\n") + 1].splitlines()
        try:
            names = [json.loads(line) for line in complete[seen:]]
        except ValueError:
            names = [None]
        if not all(isinstance(name, str) for name in names):
            message = f"{self.path.name}: its names are damaged"
            raise RingError(message)
        return names

    def close(self) -> None:
        """Let go of the mapping."""
        self._map.close()
