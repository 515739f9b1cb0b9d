# SPDX-License-Identifier: Apache-2.0
"""Memory that a program frees and soon needs again.

glibc gives large blocks back to the kernel as soon as they are freed, and gets the next ones page by page. A
CNN in training needs hundreds of such blocks at each step: on a CPU the kernel then takes more time than the
arithmetic (docs/training.md).

Source: mallopt(3).
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST = 512 << 20  # [byte] of a block that is kept; the images of a dataset are larger
_MOST = (1 << 31) - 1  # [byte] that are kept at most; mallopt's argument is an int


def keep_freed_memory() -> bool:
    """Keep freed blocks of up to 512 MB for this process, 2 GB in all; False if this C library cannot.

    Call it before the blocks are allocated. It holds for the rest of the process.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _MOST))
