# SPDX-License-Identifier: Apache-2.0
"""A table for the terminal."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from dit_policy_ros.evaluation.demonstrations._demonstration import Demonstration
from dit_policy_ros.sim.tasks import Task


def demonstration_table(tasks: Sequence[Task], kept: Sequence[Demonstration]) -> Table:
    """What was recorded, by task; tasks without a demonstration are left out."""
    table = Table("instruction", "kept", "discarded", "median length [s]", "with warnings")
    for task in tasks:
        group = [each for each in kept if each.task == task]
        if group:
            seconds = float(np.median([each.frames / each.fps for each in group if each.fps > 0] or [np.nan]))
            discarded, warned = sum(e.discarded for e in group), sum(bool(e.warnings) for e in group)
            table.add_row(task.instruction, str(len(group)), str(discarded), f"{seconds:.1f}", str(warned))
    return table
