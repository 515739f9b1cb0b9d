# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from dit_policy_ros.evaluation.report._results import TaskResult, confusion_matrix
from dit_policy_ros.sim.tasks import Outcome, suite


def suite_table() -> Table:
    """The tasks of the simulated scene, and when each counts as done."""
    table = Table("instruction", "time limit [s]", "done when", title="tasks of the simulated scene")
    for task in suite():
        table.add_row(task.instruction, f"{task.time_limit:g}", task.success)
    return table


def suite_facts() -> list[dict[str, Any]]:
    """What ``suite_table`` shows, as JSON values."""
    return [
        {"instruction": task.instruction, "time_limit": task.time_limit, "done_when": task.success}
        for task in suite()
    ]


def results_table(results: Sequence[TaskResult]) -> Table:
    """The results by task."""
    table = Table("instruction", "success", "95% interval", "another task", "median time [s]")
    for result in results:
        seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
        interval = "{:.0%} to {:.0%}".format(*result.ci95)
        share = f"{result.successes} of {result.episodes}"
        table.add_row(result.instruction, share, interval, f"{result.wrong_rate:.0%}", seconds)
    return table


def confusion_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each task that was not always done: what was done instead, and how often."""
    for asked, row in confusion_matrix(outcomes).items():
        others = [f"{count} x {behaviour}" for behaviour, count in row.items() if behaviour != asked]
        if others:
            yield f"asked to {asked}: {'; '.join(others)}"
