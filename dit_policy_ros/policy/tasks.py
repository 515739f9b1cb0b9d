# SPDX-License-Identifier: Apache-2.0
"""Instructions: what may be asked, and how it becomes tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from dit_policy_ros.core.errors import TaskError

MAX_TASK_CHARACTERS = 1000
"""Far above what CLIP's 77 tokens hold, far below what is a mistake of the caller."""


def check_task(task: str, known: Sequence[str] = ()) -> None:
    """Raise TaskError for an instruction that cannot be used: not a string, blank or over 1000 characters."""
    hint = f"; this checkpoint was trained on: {', '.join(map(repr, known))}" if known else ""
    if not isinstance(task, str):
        raise TaskError(f"task: expected a string, got {type(task).__name__}{hint}")
    if not task.strip():
        raise TaskError(
            f"task: expected an instruction, got {'an empty string' if not task else 'only blanks'}{hint}"
        )
    if len(task) > MAX_TASK_CHARACTERS:
        raise TaskError(f"task: expected at most {MAX_TASK_CHARACTERS} characters, got {len(task)}{hint}")


@dataclass(frozen=True, slots=True)
class TokenizerOptions:
    """How LeRobot's tokenizer step calls the tokenizer."""

    max_length: int
    padding: Literal["max_length", "longest"] = "max_length"
    padding_side: Literal["left", "right"] = "right"
    truncation: bool = True
    task_key: str = "task"
    tokenizer_name: str | None = None


class TaskTokenizer:
    """The text tokenizer of a checkpoint."""

    def __init__(self, tokenizer: Any, options: TokenizerOptions) -> None:
        """Wrap a Hugging Face tokenizer.

        Args:
            tokenizer: a ``transformers`` tokenizer.
            options: how to call it.
        """
        self.tokenizer = tokenizer
        self.options = options

    def __call__(self, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids (B, L) long and the mask of real tokens (B, L) bool."""
        options = self.options
        encoded = self.tokenizer(
            list(tasks),
            max_length=options.max_length,
            truncation=options.truncation,
            padding=options.padding,
            padding_side=options.padding_side,
            return_tensors="pt",
        )
        return encoded["input_ids"], encoded["attention_mask"].bool()

    def is_truncated(self, task: str) -> bool:
        """Whether the instruction has more tokens than the text encoder reads."""
        return len(self.tokenizer(task)["input_ids"]) > self.options.max_length
