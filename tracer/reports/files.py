"""Where reports go: standard output, or a file that only who made it may read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def open_output(path: Path, mode: str = "w") -> AbstractContextManager[Any]:
    """Open a file for writing, `-` for standard output; text is UTF-8. Raise `OSError`.

    A new file has mode 0600, as recordings have.
    """
    encoding = None if "b" in mode else "utf-8"
    errors = None if "b" in mode else "replace"
    if str(path) == "-":
        return click.open_file("-", mode, encoding=encoding)
    return open(path, mode, encoding=encoding, errors=errors, opener=_opener)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
