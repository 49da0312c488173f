"""What the threads are called that serve: looked up once each, after an answer."""

from __future__ import annotations

import os
import threading
from threading import get_ident as ident
from threading import get_native_id as native_id
from typing import Final

_MOST: Final = 64
_LONGEST: Final = 100


class ThreadNames:
    """The names of serving threads, by what the kernel knows them as.

    A thread that is started for one request has a name of its own; those aren't kept.
    """

    def __init__(self) -> None:
        """Know none yet."""
        self.seen: set[int] = set()
        """Which threads there is nothing new to note of, as `threading.get_ident` has them."""
        self._known: dict[int, str] = {}

    def met(self) -> bool:
        """Note the name of this thread; say whether it is a new one, and there was room."""
        here = ident()
        if here in self.seen or len(self.seen) >= _MOST:
            return False
        self.seen.add(here)
        name = next((one.name for one in threading.enumerate() if one.ident == here), None)
        if name is None:
            return False
        self._known[native_id()] = name[:_LONGEST]
        return True

    def by_number(self) -> dict[str, str]:
        """Return the names, the main thread's among them."""
        # The thread object of a forked child's main thread may have the parent's number.
        main = {os.getpid(): threading.main_thread().name[:_LONGEST]}
        return {str(number): name for number, name in {**self._known, **main}.items()}
