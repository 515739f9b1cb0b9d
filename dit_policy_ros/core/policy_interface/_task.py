# SPDX-License-Identifier: Apache-2.0
"""Checks that a text can be a task instruction."""

from collections.abc import Sequence

from dit_policy_ros.core.errors import TaskError

MAX_TASK_CHARACTERS = 1000
"""Much more than CLIP's 77 tokens hold, much less than a file passed by mistake."""


def check_task(task: str, known: Sequence[str] = ()) -> None:
    """Refuse an instruction that cannot be used.

    Args:
        task: the instruction.
        known: valid instructions, for the message.

    Raises:
        TaskError: it is not a string, blank, or longer than MAX_TASK_CHARACTERS.
    """
    hint = f"; known tasks: {', '.join(map(repr, known))}" if known else ""
    if not isinstance(task, str):
        raise TaskError(f"task: expected a string, got {type(task).__name__}{hint}")
    if not task.strip():
        raise TaskError(
            f"task: expected an instruction, got {'only blanks' if task else 'an empty string'}{hint}"
        )
    if len(task) > MAX_TASK_CHARACTERS:
        raise TaskError(f"task: expected at most {MAX_TASK_CHARACTERS} characters, got {len(task)}{hint}")
