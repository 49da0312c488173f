"""How a process beside a server gives way to it.

Being nice is not enough where the kernel groups processes by session (`sched_autogroup_enabled`, on
in most distributions): it counts only within the session then, and the session has a niceness of
its own, which an agent's guardian sets (`tracer.launch.spawn`). Nor does it help whoever wakes up:
since Linux 6.6 a process is left alone until its slice is over. Since 6.12 it may say how long that
is, and whoever asks for less interrupts it. See sched(7) and sched_setattr(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from typing import Final

_SLICE_NS: Final = 20_000_000
# size, policy, flags, niceness, priority, runtime, deadline, period: `struct sched_attr`, version 0
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274}


def give_way(nicer: int) -> None:
    """Be nicer by that, and be interrupted by whoever wakes, as far as this kernel has it.

    It holds for the calling thread, and for threads and processes that it starts afterwards.
    Who is idle already, or batch, stays so.
    """
    with contextlib.suppress(OSError, AttributeError):
        niceness = os.nice(nicer)
        number = _SCHED_SETATTR.get(platform.machine())
        if number is None or os.sched_getscheduler(0) in {os.SCHED_IDLE, os.SCHED_BATCH}:
            return
        wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, niceness, 0, _SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, wanted, 0)
