# SPDX-License-Identifier: Apache-2.0
"""The policy node of bench_soak.py, which also records its timing.

Records start and duration of each control tick, and the age of images at publication. At the end it writes
the arrays to the .npz file in SOAK_RECORD. The arrays have their full size (SOAK_VALUES) from the beginning,
so that they do not look like a memory leak.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.ros.common import run_node
from dit_policy_ros.ros.policy.policy_node import PolicyNode


class Series:
    """A table of rows with a fixed capacity."""

    def __init__(self, rows: int, columns: int) -> None:
        self._rows = np.full((rows, columns), np.nan)
        self._count = 0

    def add(self, *row: float) -> None:
        """Append a row. Rows beyond the capacity are dropped."""
        if self._count < len(self._rows):
            self._rows[self._count] = row
            self._count += 1

    @property
    def rows(self) -> np.ndarray:
        """The rows so far (N, columns)."""
        return self._rows[: self._count]


class MeasuredPolicyNode(PolicyNode):
    """The policy node with time measurements."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        self.ticks = Series(size, 2)  # start, duration [s]
        self.pipeline = Series(size, 2)  # time, image stamp to published trajectory without inference [s]
        super().__init__(**kwargs)
        self._report_chunk, self._reporter.on_chunk = self._reporter.on_chunk, self._on_chunk

    def _on_control_tick(self) -> None:
        began = time.monotonic()
        super()._on_control_tick()
        self.ticks.add(began, time.monotonic() - began)

    def _on_chunk(self, chunk: Chunk, task: str) -> None:
        self._report_chunk(chunk, task)
        if (configured := self.state.configured) is not None:
            self.pipeline.add(time.monotonic(), configured.link.figures.pipeline.newest)


def main() -> int:
    nodes: list[MeasuredPolicyNode] = []

    def make(**options: Any) -> MeasuredPolicyNode:
        nodes.append(MeasuredPolicyNode(int(os.environ["SOAK_VALUES"]), **options))
        return nodes[0]

    code = run_node(make)
    if nodes:
        measured = nodes[0]
        np.savez(Path(os.environ["SOAK_RECORD"]), ticks=measured.ticks.rows, pipeline=measured.pipeline.rows)
    return code


if __name__ == "__main__":
    sys.exit(main())
