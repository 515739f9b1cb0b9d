# SPDX-License-Identifier: Apache-2.0
"""Tables of a dataset's episodes and tasks, and the same as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from dit_policy_ros.data.dataset import MIN_DEMONSTRATIONS, TARGET_DEMONSTRATIONS, task_counts

_LABELS = {None: "", True: "success", False: "[yellow]failure[/]"}


def episode_table(rows: Sequence[Any]) -> Table:
    """One line per episode, with the operator's label and the recorder's check."""
    table = Table("episode", "task", "frames", "s", "label", "check", "flagged", "why")
    for row in rows:
        cells: list[Any] = [str(row.index), Text("; ".join(row.tasks)), str(row.frames), f"{row.seconds:.1f}"]
        if (record := row.record) is None:  # another program recorded it
            cells += ["", "", "", ""]
        else:
            check = "passed" if record.passed else "[red]FAILED[/]"
            flagged = str(len(record.flagged()) or "")
            cells += [_LABELS[record.success], check, flagged, Text("; ".join(record.reasons))]
        table.add_row(*cells)
    return table


def task_table(rows: Sequence[Any]) -> Table:
    """One line per task: how many of its episodes are good, and how many failed in which way."""
    table = Table("task", "good", "failed by operator", "failed the check", f"of {TARGET_DEMONSTRATIONS}")
    for task, count in task_counts(rows).items():
        note = f"{count.good / TARGET_DEMONSTRATIONS:.0%}"
        if count.good < MIN_DEMONSTRATIONS:
            note = f"[yellow]fewer than {MIN_DEMONSTRATIONS}: too few to learn from[/]"
        table.add_row(Text(task), str(count.good), str(count.failed or ""), str(count.rejected or ""), note)
    return table


def episodes_as_json(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """The episodes as JSON values, for other programs."""
    return [
        {
            "episode_index": row.index,
            "tasks": row.tasks,
            "frames": row.frames,
            "seconds": row.seconds,
            "record": None if row.record is None else json.loads(row.record.to_json()),
        }
        for row in rows
    ]
