"""When the agent attributes what it has recorded: never at the workers' expense."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from tracer.agent.live import idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.recording.writer import RecordingWriter

_SLICE_S: Final = 0.01
_LONG_SLICE_S: Final = 0.03
_FAR_BEHIND: Final = 4_096
_LEAST_S: Final = 1.0


class Concluding:
    """Attributes in slices while a processor is idle, else one slice a second."""

    def __init__(self, recording: RecordingWriter, say: Callable[[str], None]) -> None:
        """Attribute what is in `recording`; `say` takes a line about what went wrong."""
        self._recording = recording
        self._say = say
        self._last_s = 0.0

    def step(self) -> bool:
        """Attribute a slice, if it is time for one.

        Say whether to go on at once: it is far behind, and there is a processor for it. Else
        there are pauses: whoever wakes meanwhile on the same processor waits for milliseconds.
        """
        moment = time.monotonic()
        if self._last_s > moment:
            return False
        unused = idle()
        if not unused and moment - self._last_s <= _LEAST_S:
            return False
        self._last_s = moment
        hurry = unused and self._recording.lag > _FAR_BEHIND
        try:
            return self._recording.conclude(_LONG_SLICE_S if hurry else _SLICE_S) and hurry
        except Exception as error:  # noqa: BLE001 - marks are kept, whatever can be made of them
            self._say(f"nothing more is concluded ({error!r})")
            self._last_s = math.inf
            return False
