# SPDX-License-Identifier: Apache-2.0
"""How much room a disk has."""

import os
from pathlib import Path


def free_disk(folder: Path) -> int:
    """Free space for this user on the disk of an existing folder [byte]."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
