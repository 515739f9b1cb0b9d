# SPDX-License-Identifier: Apache-2.0
"""Tokenises instructions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from dit_policy_ros.policy.config import PolicyConfig

EMPTY_INSTRUCTION = ""
"""Means "no instruction", in instruction dropout and classifier-free guidance; not accepted from users."""


@dataclass(frozen=True, slots=True)
class TokenizerOptions:
    """The options of LeRobot's tokenizer step."""

    max_length: int
    padding: Literal["max_length", "longest"] = "max_length"
    padding_side: Literal["left", "right"] = "right"
    truncation: bool = True
    task_key: str = "task"
    tokenizer_name: str | None = None  # hub name or path

    @classmethod
    def of(cls, config: PolicyConfig) -> "TokenizerOptions":
        """The options that belong to a policy's configuration."""
        return cls(
            max_length=config.tokenizer_max_length,
            padding=config.tokenizer_padding,
            padding_side=config.tokenizer_padding_side,
            truncation=config.tokenizer_truncation,
            tokenizer_name=config.text_encoder_name,
        )


class TaskTokenizer:
    """The text tokenizer of a checkpoint."""

    def __init__(self, tokenizer: Any, options: TokenizerOptions) -> None:
        """Wrap a Hugging Face tokenizer.

        Args:
            tokenizer: a ``transformers`` tokenizer.
            options: its options.
        """
        self.tokenizer = tokenizer
        self.options = options

    def __call__(self, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids (B, L) long, and the mask (B, L) bool that is false for padding."""
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
        """Whether the instruction has more tokens than ``max_length``, so that its end is cut off."""
        return len(self.tokenizer(task)["input_ids"]) > self.options.max_length
