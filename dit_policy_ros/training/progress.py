# SPDX-License-Identifier: Apache-2.0
"""The progress of long commands: a bar on a terminal, otherwise a line now and then."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn

LINE_PERIOD = 10.0  # [s] between two lines of a task


def progress_bar(
    console: Console, clock: Callable[[], float] = time.monotonic, transient: bool = False
) -> Progress:
    """Bars with counts, the time that is left, and a note; give every task a ``note``.

    Without a terminal there are lines instead, as in the log of a job. transient: a bar leaves no trace.
    """
    if not console.is_terminal:
        return _ProgressLines(console, clock)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    note = TextColumn("{task.fields[note]}", markup=False)
    return Progress(*columns, note, console=console, transient=transient)


class _ProgressLines(Progress):
    """Prints each task when it has advanced and the period is over, and when it is complete."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        super().__init__(console=console, disable=True)  # disabled: it draws nothing itself
        self._clock = clock
        self._printed: dict[int, tuple[float, float]] = {}  # time [s] and count of a task's newest line

    def start(self) -> None:
        """Nothing is drawn."""

    def stop(self) -> None:
        """Nothing is drawn."""

    def update(self, task_id: Any, **changes: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As rich's."""
        super().update(task_id, **changes)
        task, now = self._tasks[task_id], self._clock()
        when, count = self._printed.setdefault(task_id, (now, task.completed))
        is_whole = task.total is not None and task.completed >= task.total
        if task.visible and task.completed != count and (is_whole or now - when >= LINE_PERIOD):
            self._printed[task_id] = now, task.completed
            self.console.print(_line(task), markup=False, highlight=False, soft_wrap=True)

    def advance(self, task_id: Any, advance: float = 1) -> None:
        """As rich's."""
        self.update(task_id, advance=advance)


def _line(task: Task) -> str:
    total = "" if task.total is None else f"/{task.total:.0f}"
    note = task.fields.get("note", "")
    left = task.time_remaining
    parts = [f"{task.description} {task.completed:.0f}{total}"]
    if left:
        parts.append(f"{left // 60:.0f}:{left % 60:02.0f} min left")
    return ", ".join([*parts, *([note] if note else [])])
