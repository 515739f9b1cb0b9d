# SPDX-License-Identifier: Apache-2.0
"""The tasks of a recording day: how many episodes of each there are, and which comes next."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SIMILAR = 0.75  # ratio of difflib from which a text counts as a mistyped task


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """done: good episodes. goal: episodes that are wanted."""

    task: str
    done: int
    goal: int


def progress(tasks: Sequence[str], done: Mapping[str, int], goal: int) -> list[TaskProgress]:
    """The wanted tasks in their order, then those that the dataset has besides."""
    names = dict.fromkeys([*tasks, *done])
    return [TaskProgress(task, done.get(task, 0), goal) for task in names]


def next_task(listed: Sequence[TaskProgress]) -> str:
    """The task that is furthest from its goal, the first one of several; "" if all goals are reached."""
    open_tasks = [each for each in listed if each.done < each.goal]
    return min(open_tasks, key=lambda each: each.done / each.goal).task if open_tasks else ""


def similar_task(text: str, known: Iterable[str]) -> str:
    """The known task that a text probably means; "" if it is one itself, or resembles none."""
    text, names = " ".join(text.split()), list(known)
    if not text or text in names:
        return ""
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(text.lower(), lowered, n=1, cutoff=_SIMILAR)
    return lowered[near[0]] if near else ""
