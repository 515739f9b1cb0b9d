# SPDX-License-Identifier: Apache-2.0
"""A table for the terminal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from dit_policy_ros.evaluation.demonstrations._corrections import CorrectedRun
from dit_policy_ros.evaluation.demonstrations._demonstration import Demonstration
from dit_policy_ros.sim.tasks import Task


def demonstration_table(tasks: Sequence[Task], kept: Sequence[Demonstration]) -> Table:
    """What was recorded, by task; tasks without a demonstration are left out."""
    table = Table("instruction", "kept", "discarded", "median length [s]", "with warnings")
    for row in demonstration_facts(tasks, kept):
        instruction, count, discarded, seconds, warned = row.values()
        table.add_row(instruction, str(count), str(discarded), f"{seconds:.1f}", str(warned))
    return table


def demonstration_facts(tasks: Sequence[Task], kept: Sequence[Demonstration]) -> list[dict[str, Any]]:
    """What ``demonstration_table`` shows, as values; times in s, NaN if none is known."""
    rows = []
    for task in tasks:
        group = [each for each in kept if each.task == task]
        lengths = [each.frames / each.fps for each in group if each.fps > 0]  # [s]
        if group:
            rows.append(
                {
                    "instruction": task.instruction,
                    "kept": len(group),
                    "discarded": sum(each.discarded for each in group),
                    "median_seconds": float(np.median(lengths or [np.nan])),
                    "with_warnings": sum(bool(each.warnings) for each in group),
                }
            )
    return rows


def correction_table(tasks: Sequence[Task], runs: Sequence[CorrectedRun]) -> Table:
    """What was recorded of a policy's runs, by task; tasks without a run are left out."""
    table = Table("instruction", "attempts", "by the policy alone", "corrected", "failed", "frames by hand")
    for row in correction_facts(tasks, runs):
        *counts, share = row.values()
        table.add_row(*map(str, counts), f"{share:.0%}")
    return table


def correction_facts(tasks: Sequence[Task], runs: Sequence[CorrectedRun]) -> list[dict[str, Any]]:
    """What ``correction_table`` shows, as values."""
    rows = []
    for task in tasks:
        group = [each for each in runs if each.task == task]
        if group:
            rows.append(
                {
                    "instruction": task.instruction,
                    "attempts": len(group),
                    "by_policy_alone": sum(each.success and not each.human_frames for each in group),
                    "corrected": sum(each.success and each.human_frames > 0 for each in group),
                    "failed": sum(not each.success for each in group),
                    "human_share": sum(each.human_frames for each in group)
                    / sum(each.frames for each in group),
                }
            )
    return rows
