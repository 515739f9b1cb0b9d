# SPDX-License-Identifier: Apache-2.0
"""Whether the process that started this one is still there.

Import it before anything that takes long: a parent that has ended before the import cannot be told from
process 1.
"""

import os
import signal
from pathlib import Path

_NOBODY = (0, 1)  # no process in this container, or init, systemd, the container's first process


def _name_of(process: int) -> str:
    """The program and its first argument, for example "ros2 launch"."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_text().rstrip("\0").split("\0")
    except (OSError, UnicodeDecodeError):
        return "process"
    if Path(words[0]).name.startswith("python") and len(words) > 1 and not words[1].startswith("-"):
        words = words[1:]
    name = Path(words[0]).name or "process"
    return f"{name} {words[1]}" if len(words) > 1 and words[1].isidentifier() else name


def _ignores_hangup(process: int) -> bool:
    """Whether a process ignores SIGHUP, as everything does that was started under nohup."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    except (OSError, StopIteration):
        return False
    return bool(mask >> (signal.SIGHUP - 1) & 1)


class ParentProcess:
    """The process that started this one, as it was when this object was made."""

    def __init__(self) -> None:
        self.id = os.getppid()
        self.name = _name_of(self.id)
        # `nohup program &` asks for a program that outlives the shell. Under `nohup ros2 launch ... &` the
        # launch ignores SIGHUP, too; its nodes are not meant to outlive it.
        self._is_outlived = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN and not _ignores_hangup(self.id)

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def has_ended(self) -> bool:
        """Whether the parent has ended. Never true of a child of init, and of one started under nohup."""
        if self.id in _NOBODY or self._is_outlived:
            return False
        return os.getppid() != self.id


PARENT = ParentProcess()
