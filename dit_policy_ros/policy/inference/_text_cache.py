# SPDX-License-Identifier: Apache-2.0
"""Instructions to text features, each instruction once."""

import logging
from collections import OrderedDict

import torch
from torch import Tensor

from dit_policy_ros.policy.encoders import TextEncoder
from dit_policy_ros.policy.processing import TaskTokenizer

MAX_CACHED_TASKS = 64

logger = logging.getLogger(__name__)


class TextCache:
    """Encodes instructions, and keeps the features of the latest ones. Not thread-safe."""

    def __init__(self, encoder: TextEncoder, tokenizer: TaskTokenizer, device: torch.device) -> None:
        self._encoder, self._tokenizer, self._device = encoder, tokenizer, device
        self._pooled: OrderedDict[str, Tensor] = OrderedDict()  # each (1, E)

    def clear(self) -> None:
        """Drop all features, after a change of the weights."""
        self._pooled.clear()

    def __call__(self, task: str) -> Tensor:
        """Features of an instruction (1, E)."""
        if task in self._pooled:
            self._pooled.move_to_end(task)
            return self._pooled[task]
        if self._tokenizer.is_truncated(task):
            length = self._tokenizer.options.max_length
            logger.warning("the text encoder reads only the first %d tokens of %r", length, task)
        ids, mask = (tensor.to(self._device) for tensor in self._tokenizer([task]))
        self._pooled[task] = self._encoder.pool(ids, mask)
        if len(self._pooled) > MAX_CACHED_TASKS:
            self._pooled.popitem(last=False)
        return self._pooled[task]
