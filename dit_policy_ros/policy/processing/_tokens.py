# SPDX-License-Identifier: Apache-2.0
"""How instructions become tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from dit_policy_ros.core.lerobot_keys import TASK_KEY

EMPTY_INSTRUCTION = ""
"""Stands for "no instruction" in training with dropout and in guided sampling; users cannot ask for it."""


@dataclass(frozen=True, slots=True)
class TokenizerOptions:
    """How LeRobot's tokenizer step calls the tokenizer."""

    max_length: int
    padding: Literal["max_length", "longest"] = "max_length"
    padding_side: Literal["left", "right"] = "right"
    truncation: bool = True
    task_key: str = TASK_KEY
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
