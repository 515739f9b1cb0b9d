# SPDX-License-Identifier: Apache-2.0
"""How much CPU time child processes use."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.core.child_processes import Child

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")  # [1/s]


def cpu_seconds(child: Child) -> float:
    """CPU time that a process has used so far [s], from its ``/proc`` entry."""
    fields = Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS  # user and system time


class CpuTimer:
    """Measures from its creation how many cores each child process uses on average."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._cpu_before = {child.name: cpu_seconds(child) for child in children}  # [s]
        self._started = time.monotonic()

    def cores(self) -> dict[str, float]:
        """Average number of cores used so far, by the child's name."""
        elapsed = time.monotonic() - self._started
        return {
            child.name: (cpu_seconds(child) - self._cpu_before[child.name]) / elapsed
            for child in self._children
        }
