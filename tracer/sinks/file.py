"""The file of a recording, before anything in it is believed."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracer.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID: Final = 0x74726163
FORMAT: Final = 1

_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100
_LARGEST_PAGE: Final = 65536
_DAMAGE: Final = (
    sqlite3.Error,
    zlib.error,
    FrameError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)


class RecordingError(Exception):
    """A file that cannot be read as a recording; the message says why in one line."""


def check_file(path: Path) -> None:
    """Tell what isn't a recording from what is a part of one, before SQLite guesses."""
    try:
        if not path.is_file():
            what = "not a recording" if path.exists() else "no such recording"
            raise RecordingError(f"{path}: {what}")
        with path.open("rb") as file:
            header = file.read(_HEADER)
        size = path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror})") from error
    if not header.startswith(_MAGIC) or len(header) < _HEADER:
        raise RecordingError(f"{path}: {'not a recording' if header else 'empty'}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise RecordingError(f"{path}: not a recording of tracer's")
    if int.from_bytes(header[60:64], "big") > FORMAT:
        raise RecordingError(f"{path}: of a newer format than this tracer reads")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = _LARGEST_PAGE if page_size == 1 else page_size
    if size < page_size * int.from_bytes(header[28:32], "big"):
        raise RecordingError(f"{path}: a torn copy, truncated")


def has_log(path: Path) -> bool:
    """Say whether SQLite's write-ahead log lies beside the file."""
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except OSError:
        return False


def connect(path: Path, *, logged: bool) -> sqlite3.Connection:
    """Open the file for reading; without a log beside it, keep SQLite from making one."""
    quoted = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    way = "mode=ro" if logged else "mode=ro&immutable=1"
    try:
        return sqlite3.connect(f"file:{quoted}?{way}", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise RecordingError(f"{path}: cannot be read ({error})") from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one line that the file is damaged, whatever shows it."""
    try:
        yield
    except _DAMAGE as error:
        what = str(error).replace("\n", " ") or type(error).__name__
        raise RecordingError(f"{path}: damaged ({what})") from error
