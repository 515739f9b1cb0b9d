# SPDX-License-Identifier: Apache-2.0
"""Takes the right to real-time priorities from this process. Programs that it starts as root get it again."""

import ctypes
import os
import resource

_VERSION_3 = 0x20080522  # of capget(2) and capset(2): 64 bits in two words
_SYS_NICE = 1 << 23  # capabilities(7)


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("thread", ctypes.c_int)]


def give_up_real_time() -> None:
    """Before any other thread is there: each thread has rights of its own, and passes them on to new ones.

    LeRobot's encoder, SVT-AV1, gives the thread that opens it the highest real-time priority where it may,
    for good. Two test processes that are above everything else stop a computer of two cores.

    Raises:
        OSError: the kernel refused.
    """
    _, most = resource.getrlimit(resource.RLIMIT_RTPRIO)  # what a user may without the capability
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, most))
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_VERSION_3, 0)  # 0 is this thread
    words = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable; then their upper halves
    if libc.capget(ctypes.byref(header), words):
        raise OSError(ctypes.get_errno(), "capget")
    words[0] &= ~_SYS_NICE
    if libc.capset(ctypes.byref(header), words):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
