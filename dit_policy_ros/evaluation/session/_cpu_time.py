# SPDX-License-Identifier: Apache-2.0
"""How much CPU time child processes use."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.core.child_processes import Child

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")  # [1/s]


def processes(pid: int) -> list[int]:
    """A process and everything that it has started, as far as it runs now."""
    found = [pid]
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += [each for child in file.read_text().split() for each in processes(int(child))]
    return found


def cpu_seconds(child: Child) -> float:
    """CPU time that a process and its running children have used so far [s], from their ``/proc`` entries."""
    total = 0
    for pid in processes(child.process.pid):
        with contextlib.suppress(OSError):  # it has just ended
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])  # user and system time
    return total / CLOCK_TICKS


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
