"""Probes of other distributions: entry points of the group `tracer.probes`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

GROUP: Final = "tracer.probes"

_SECTION: Final = f"[{GROUP}]".encode()
_DIRECTORIES: Final = (".dist-info", ".egg-info")
_FILE: Final = "entry_points.txt"


def foreign() -> Iterable[EntryPoint]:
    """Return the entry points. The standard library reads all metadata for it, which takes 9 ms.

    So it is asked only where a file names the group, or where something isn't a folder.
    """
    if not any(_may_name(folder or ".") for folder in sys.path):
        return ()
    from importlib.metadata import entry_points  # noqa: PLC0415 - hardly ever needed

    return entry_points(group=GROUP)


def _may_name(folder: str) -> bool:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - the same
    except NotADirectoryError:
        return True
    except OSError:
        return False
    return any(
        _names(os.path.join(folder, name, _FILE))  # noqa: PTH118 - a hundred of them
        for name in names
        if name.endswith(_DIRECTORIES)
    )


def _names(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            return _SECTION in file.read()
    except OSError:
        return False
