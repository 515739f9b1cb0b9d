# SPDX-License-Identifier: Apache-2.0
"""Keeps an encoder from giving itself a real-time priority.

SVT-AV1 does so where it may, for root above all, and so in most containers: the thread that opens it and all
of its own threads get SCHED_FIFO 99, for good. ros2_control's loop has 50. Encoding would stop the robot's
control, and with as many such threads as cores the whole computer.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_TASKS = Path("/proc/self/task")
_REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)


@contextlib.contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """The calling thread, and threads that start meanwhile, have the scheduling that it had before."""
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        for thread in {threading.get_native_id(), *(_threads() - before)}:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK in _REAL_TIME:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(path.name) for path in _TASKS.iterdir()}
