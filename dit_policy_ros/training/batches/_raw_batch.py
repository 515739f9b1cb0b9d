# SPDX-License-Identifier: Apache-2.0
"""What one batch reads from the demonstrations, before images are normalised and augmented.

Shapes: B batch, S observation steps, I of them whose images are read, N cameras, T horizon, D state entries,
A action entries, F features of an image.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Cheap to read and to move to a GPU: its images are still bytes."""

    state: Tensor  # (B, S, D) normalised
    action: Tensor  # (B, T, A) normalised
    is_pad: Tensor  # bool (B, T)
    task: Tensor  # (B,) row of the pooled text
    images: Tensor | None  # uint8 (B, I, N, h, w, 3)
    features: Tensor | None  # (B, I, N * F) of a frozen vision encoder
    has_entry: Tensor | None = None  # bool (B, A) entries that the example's robot has; None: all

    def pin_memory(self) -> "RawBatch":
        """The same batch in memory from which copying to a GPU is fast; torch's DataLoader calls this."""
        tensors: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, tensor in tensors.items():
            tensors[name] = None if tensor is None else tensor.pin_memory()
        return RawBatch(**tensors)

    def to(self, device: torch.device) -> "RawBatch":
        """The same batch on another device."""
        tensors: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, tensor in tensors.items():
            tensors[name] = None if tensor is None else tensor.to(device, non_blocking=True)
        return RawBatch(**tensors)
