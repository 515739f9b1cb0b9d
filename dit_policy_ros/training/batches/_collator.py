# SPDX-License-Identifier: Apache-2.0
"""Makes a batch of what was read for it, on the batch's device: images, and the instruction's text.

Shapes: B batch, I observation steps whose images are read, N cameras, E features of a text, K tasks,
W wordings of all tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dit_policy_ros.policy.checkpoint import KnownInstructions
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.processing import EMPTY_INSTRUCTION, Normalizer, TaskTokenizer
from dit_policy_ros.training.batches._augmentation import Augmentation
from dit_policy_ros.training.batches._raw_batch import RawBatch


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How examples are varied, and which frames make none. At 0 each option is off."""

    instruction_dropout: float = 0.0  # share of training examples that get the empty instruction
    augmentation: float = 0.0  # strength of the random colour changes of training images
    drop_idle: float = 0.0  # share of a joint's fast speed below which it is idle
    gripper_scale: float = 1.0  # by which the grippers' normalised actions are divided
    # By instruction, wordings of which each example gets one at random, the instruction itself first.
    wordings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


DEFAULT_OPTIONS = BatchOptions()
_TEXTS = 256  # encoded at once


class Collator:
    """Normalises images and looks up the instruction. The text features are computed once, at the start."""

    def __init__(
        self,
        policy: DiTPolicy,
        tokenizer: TaskTokenizer,
        tasks: Sequence[str],
        image_scales: Sequence[Normalizer],
        options: BatchOptions,
    ) -> None:
        """Prepare.

        Args:
            policy: its frozen text encoder reads the tasks.
            tokenizer: of the instructions.
            tasks: the instructions, in the order of the batches' numbers.
            image_scales: of each camera, in the network's order.
            options: dropped instructions, augmentation and wordings.
        """
        self._scales, self._dropout = list(image_scales), options.instruction_dropout
        self._augment = Augmentation(options.augmentation) if options.augmentation else None
        wordings = [options.wordings.get(task, (task,)) for task in tasks]
        self._count = torch.tensor([len(each) for each in wordings])  # (K,)
        self._first = self._count.cumsum(0) - self._count  # (K,) the row of each instruction itself
        # The last row replaces a dropped instruction.
        texts = [*(text for each in wordings for text in each), EMPTY_INSTRUCTION]
        self._pooled_text = _encoded(policy, tokenizer, texts)  # (W + 1, E)

    def known_instructions(self) -> KnownInstructions:
        """What the checkpoint stores of the wordings. Their tasks are numbered as in the batches."""
        features = self._pooled_text[:-1]
        whole = features if features.ndim == 2 else features[:, 0]  # (W, E)
        return KnownInstructions.of(whole, torch.arange(len(self._count)).repeat_interleave(self._count))

    def collate(self, raw: RawBatch, training: bool) -> Batch:
        """Normalise a batch on its device; in training also augment images and drop instructions.

        Random numbers come from torch's global generators.
        """
        device = raw.state.device
        task, images = self._first.to(device)[raw.task], None  # (B,) rows of the text features
        if training and len(self._pooled_text) > 1 + len(self._count):
            draw = torch.rand(len(task), device=device)  # (B,)
            task = task + (draw * self._count.to(device)[raw.task]).long()
        if training and self._dropout:
            # Ho and Salimans 2022 (arXiv 2207.12598), algorithm 1.
            is_dropped = torch.rand(len(task), device=device) < self._dropout  # (B,)
            task = torch.where(is_dropped, len(self._pooled_text) - 1, task)
        if raw.images is not None:
            images = self._normalize(raw.images, self._augment if training else None)
        return Batch(
            state=raw.state,
            pooled_text=self._pooled_text.to(device)[task],
            action=raw.action,
            action_is_pad=raw.is_pad,
            images=images,
            image_features=raw.features,
            has_entry=raw.has_entry,
        )

    def _normalize(self, pixels: Tensor, augment: Augmentation | None) -> Tensor:
        """Images uint8 (B, I, N, h, w, 3) -> normalised (B, I, N, 3, h, w)."""
        images = pixels.permute(0, 1, 2, 5, 3, 4).to(torch.float32) / 255
        if augment is not None:
            images = augment(images)
        normalized = [
            scale.to(images.device).normalize(images[:, :, n]) for n, scale in enumerate(self._scales)
        ]
        return torch.stack(normalized, dim=2)


def _encoded(policy: DiTPolicy, tokenizer: TaskTokenizer, texts: Sequence[str]) -> Tensor:
    """Features of texts (W, E), or (W, 1 + L, E) with all tokens, on the CPU."""
    device, encoder = next(policy.parameters()).device, policy.observation_encoder.text_encoder
    parts = []
    for first in range(0, len(texts), _TEXTS):
        tokens = [each.to(device) for each in tokenizer(texts[first : first + _TEXTS])]
        parts.append(encoder.pool(*tokens).cpu())
    return torch.cat(parts)
