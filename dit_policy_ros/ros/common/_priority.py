# SPDX-License-Identifier: Apache-2.0
"""Who goes first in the policy node: the control timer and the streams, then inference."""

import os
import sys
import threading

# A thread that wants the interpreter may have to wait this long for it [s]; Python's default is 5 ms, a
# quarter of a control period.
_TURN = 0.0005
# Inference fills a core for tens of milliseconds; whoever else of this node wakes up goes before it. Not by
# more: on a computer that is busy with other things it still has to infer.
_NICENESS = 5


def set_gil_switch_interval() -> None:
    """Have the threads of this process take short turns at the interpreter."""
    sys.setswitchinterval(_TURN)


def lower_thread_priority() -> None:
    """Lower the priority of the calling thread, which needs no privilege."""
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, min(niceness + _NICENESS, 19))
